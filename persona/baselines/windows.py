"""The border of every peer: what a window must be before a method looks at it, so that none is ever poisoned."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from persona.errors import DataError

LARGEST = 1e6  # pixels lie in [0, 1]; beyond this a net's squares and sums may overflow


def check_window(x: Tensor, channels: int | None = None) -> None:
    """Refuse a window that no method can answer for; a window (N, C, …) that passes gives finite logits.

    `channels` is the wanted C, where it is known. DataError for a window without samples, of a type that is not
    floating, of other channels, or with values that are not finite or beyond `LARGEST`; it says how many samples.
    """
    if x.ndim < 2 or x.numel() == 0:
        raise DataError(f"a window has shape {tuple(x.shape)}; it must hold at least one sample: (N, C, H, W)")
    if not x.is_floating_point():
        raise DataError(f"a window has values of type {x.dtype}; scale pixels to [0, 1] as floating-point numbers")
    if channels is not None and x.shape[1] != channels:
        raise DataError(
            f"a window has shape {tuple(x.shape)}; the net reads {channels} channels: (N, {channels}, H, W)"
        )
    _check_values(x)


def _check_values(x: Tensor) -> None:
    lowest, greatest = torch.aminmax(x)  # both NaN where any value is
    if bool((lowest >= -LARGEST) & (greatest <= LARGEST)):
        return
    each = x.flatten(1)
    broken = int((~torch.isfinite(each)).any(dim=1).sum())
    if broken:
        raise DataError(f"{broken} of {len(x)} samples of a window have values that are not finite; leave those out")
    wild = int((each.abs() > LARGEST).any(dim=1).sum())
    raise DataError(f"{wild} of {len(x)} samples of a window have values beyond {LARGEST:g}; scale pixels to [0, 1]")


def input_channels(net: nn.Module) -> int | None:
    """Return the channels that a net's first layer with weights, as defined, reads; None where it is no convolution."""
    first = next((m for m in net.modules() if next(m.parameters(recurse=False), None) is not None), None)
    return first.in_channels if isinstance(first, nn.modules.conv._ConvNd) else None
