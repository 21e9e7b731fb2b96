"""Moments of windows → sketch features, in torch, so that a gradient can pass through the sketch.

The same numbers as `persona.sketch.Sketch.features`, which a test holds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from persona.sketch import FEATURE_LIMIT, VARIANCE_FLOOR, TapSpec


def raw_features(
    taps: Sequence[TapSpec], moments: Float[Tensor, "b s m"], logits: Float[Tensor, "b s c"] | None
) -> Float[Tensor, "b f"]:
    """Return per window of S samples the means and log-variances of every tap, then the class histogram, if any.

    The sums are in float64, as on the device: float32 loses the variance of a channel far from zero.
    """
    means = moments.double().mean(dim=1)  # (B, M)
    parts: list[Tensor] = []
    start = 0
    for tap in taps:
        mean = means[:, start : start + tap.channels]
        parts.append(mean)
        if tap.order == 2:
            square = means[:, start + tap.channels : start + 2 * tap.channels]
            parts.append(torch.log((square - mean**2).clamp(min=0) + VARIANCE_FLOOR))
        start += tap.width
    if logits is not None:
        parts.append(logits.double().softmax(dim=2).mean(dim=1))
    return torch.cat(parts, dim=1).to(moments.dtype)


def standardise(
    raw: Float[Tensor, "b f"], center: Float[Tensor, " f"], scale: Float[Tensor, " f"]
) -> Float[Tensor, "b f"]:
    """Return ``(f − center) / scale``, clipped as on the device."""
    return ((raw - center) / scale).clamp(-FEATURE_LIMIT, FEATURE_LIMIT)
