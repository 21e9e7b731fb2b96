"""Taps: the modules whose inputs are sketched, and their per-sample moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from persona.errors import SpecError

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm2d)
_LAST_AXIS = (nn.Linear, nn.LayerNorm)


@dataclass(frozen=True)
class Tap:
    """One tapped module: the axis of its input that holds the channels, and the order of the moments (1 or 2)."""

    name: str
    axis: int
    order: int


def choose_taps(
    module: nn.Module, order: Sequence[str], edited: Sequence[str], patterns: Sequence[str] | None
) -> tuple[Tap, ...]:
    """Return the taps in forward order.

    The first one never lies behind an edited layer, so that its moments mean the same whichever edit is active: where the
    chosen taps start later, the first edited layer's input is tapped too. SpecError where a pattern matches nothing.
    """
    if patterns is None:
        names = [name for name in order if isinstance(module.get_submodule(name), _NORMS)] or list(edited)
    else:
        names = _matching(order, patterns)
    if order.index(names[0]) > order.index(edited[0]):
        names = [edited[0], *names]
    taps = [_tap(module, name, 2) for name in names]
    linears = [name for name in order if isinstance(module.get_submodule(name), nn.Linear)]
    if patterns is None and linears and linears[-1] not in names:
        taps.append(_tap(module, linears[-1], 1))
    return tuple(taps)


def sample_moments(taps: Sequence[Tap], inputs: Mapping[str, Tensor]) -> Tensor:
    """Return per-sample moments (N, M): for each tap the mean and, at order 2, the mean square of its input per channel."""
    parts: list[Tensor] = []
    for tap in taps:
        x = inputs[tap.name]  # (N, C, …) or (N, …, C)
        rest = [axis for axis in range(1, x.ndim) if axis != tap.axis % x.ndim]
        for power in (x, x * x)[: tap.order]:
            parts.append(power.mean(dim=rest) if rest else power)
    return torch.cat(parts, dim=1)


def _tap(module: nn.Module, name: str, order: int) -> Tap:
    return Tap(name, -1 if isinstance(module.get_submodule(name), _LAST_AXIS) else 1, order)


def _matching(order: Sequence[str], patterns: Sequence[str]) -> list[str]:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in order):
            raise SpecError(f"tap pattern {pattern!r} matches no module that takes part in a forward pass")
    return [name for name in order if any(fnmatchcase(name, pattern) for pattern in patterns)]
