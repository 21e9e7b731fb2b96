"""Taps: the modules whose inputs are sketched, and their per-sample moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from jaxtyping import Float
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

    The first one never lies behind an edited layer, so that its moments mean the same whichever edit is active: where
    the chosen taps start later, the first edited layer's input is tapped too. SpecError where a pattern matches
    nothing.
    """
    if patterns is None:
        names = [name for name in order if isinstance(module.get_submodule(name), _NORMS)] or list(edited)
    else:
        names = _matching(order, patterns)
    first = min([*names[:1], edited[0]], key=order.index)
    orders = dict.fromkeys([first, *names], 2)
    if patterns is None:
        linears = [name for name in order[order.index(first) :] if isinstance(module.get_submodule(name), nn.Linear)]
        for name in linears[-1:]:
            orders.setdefault(name, 1)
    return tuple(_tap(module, name, orders[name]) for name in order if name in orders)


def check_taps(taps: Sequence[Tap], inputs: Mapping[str, Tensor], samples: int) -> None:
    """Raise SpecError for a tap whose input on a batch of `samples` is not floats with one row a sample."""
    for tap in taps:
        x = inputs[tap.name]
        if x.ndim < 2 or x.shape[0] != samples or not x.is_floating_point():
            raise SpecError(
                f"tap {tap.name!r} reads {x.dtype} of shape {tuple(x.shape)} from a batch of {samples}; wanted floats "
                f"({samples}, …): name by `taps` modules that read such, one of them before any edited layer"
            )


def tap_moments(tap: Tap, x: Float[Tensor, "n *rest"]) -> Float[Tensor, "n m"]:
    """Return per-sample moments of a tap's input: the mean and, at order 2, the mean square of each channel."""
    rest = [axis for axis in range(1, x.ndim) if axis != tap.axis % x.ndim]
    powers = (x, x * x)[: tap.order]
    return torch.cat([power.mean(dim=rest) if rest else power for power in powers], dim=1)


def _tap(module: nn.Module, name: str, order: int) -> Tap:
    return Tap(name, -1 if isinstance(module.get_submodule(name), _LAST_AXIS) else 1, order)


def _matching(order: Sequence[str], patterns: Sequence[str]) -> list[str]:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in order):
            raise SpecError(f"tap pattern {pattern!r} matches no module that takes part in a forward pass")
    return [name for name in order if any(fnmatchcase(name, pattern) for pattern in patterns)]
