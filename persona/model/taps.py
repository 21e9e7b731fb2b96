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
    """One tapped module: the axis of its input that holds the channels, and the order of the moments (1 or 2).

    With `grid` g, an input (N, C, H, W) is averaged over g × g cells first, and each cell of each channel counts as a
    channel of its own: where in the picture things are bright says how it was turned, cut or shaded.
    """

    name: str
    axis: int
    order: int
    grid: int = 0

    def channels(self, x: Tensor) -> int:
        """Return how many channels an input (N, …) of the module has, cells counted."""
        return int(x.shape[self.axis]) * max(self.grid, 1) ** 2


def choose_taps(
    module: nn.Module, order: Sequence[str], edited: Sequence[str], patterns: Sequence[str] | None, grid: int = 0
) -> tuple[Tap, ...]:
    """Return the taps in forward order; with `grid`, the input of the first module is tapped on a grid.

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
    taps = [_tap(module, name, orders[name]) for name in order if name in orders]
    if grid:  # says all that the plain tap of that module would say
        taps = [Tap(order[0], 1, 2, grid), *(tap for tap in taps if tap.name != order[0])]
    return tuple(taps)


def check_taps(taps: Sequence[Tap], inputs: Mapping[str, Tensor], samples: int) -> None:
    """Raise SpecError for a tap whose input on a batch of `samples` is not floats with one row a sample."""
    for tap in taps:
        x = inputs[tap.name]
        if x.ndim < 2 or x.shape[0] != samples or not x.is_floating_point():
            raise SpecError(
                f"tap {tap.name!r} reads {x.dtype} of shape {tuple(x.shape)} from a batch of {samples}; wanted floats "
                f"({samples}, …): name by `taps` modules that read such, one of them before any edited layer"
            )
        if tap.grid and (x.ndim != 4 or x.shape[2] % tap.grid or x.shape[3] % tap.grid):
            raise SpecError(
                f"tap {tap.name!r} reads {tuple(x.shape)}, which does not divide into {tap.grid} × {tap.grid} cells; "
                "give a grid that divides the picture's height and width, or 0 for none"
            )


def tap_moments(tap: Tap, x: Float[Tensor, "n *rest"]) -> Float[Tensor, "n m"]:
    """Return per-sample moments of a tap's input: the mean and, at order 2, the mean square of each channel."""
    if tap.grid:
        x = _cells(x, tap.grid)
    rest = [axis for axis in range(1, x.ndim) if axis != tap.axis % x.ndim]
    powers = (x, x * x)[: tap.order]
    return torch.cat([power.mean(dim=rest) if rest else power for power in powers], dim=1)


def _cells(x: Tensor, grid: int) -> Tensor:
    """Return the means of g × g cells of pictures (N, C, H, W) as channels (N, C·g², 1)."""
    n, channels, height, width = x.shape
    split = x.reshape(n, channels, grid, height // grid, grid, width // grid)
    return split.mean(dim=(3, 5)).reshape(n, channels * grid * grid, 1)


def _tap(module: nn.Module, name: str, order: int) -> Tap:
    return Tap(name, -1 if isinstance(module.get_submodule(name), _LAST_AXIS) else 1, order)


def _matching(order: Sequence[str], patterns: Sequence[str]) -> list[str]:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in order):
            raise SpecError(f"tap pattern {pattern!r} matches no module that takes part in a forward pass")
    return [name for name in order if any(fnmatchcase(name, pattern) for pattern in patterns)]
