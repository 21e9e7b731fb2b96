"""Context encoders: what the adapter makes of a device's recent data (method §2).

Whatever a device sends, a context is finite: entries of a sketch are limited as devices limit them, and a sample that
is not finite is left out, as a sketch leaves it out.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from persona.sketch import FEATURE_LIMIT

ContextName = Literal["sketch", "samples", "both"]
# Entries of samples beyond this are as good as this: far above any picture's, far below where float32 ends.
SAMPLE_LIMIT = 1e6


class SketchEncoder(nn.Module):
    """Standardised sketch features (B, F) → context u (B, h).

    While it trains, noise of standard deviation `noise` is added to the features: devices' data is never quite that of
    training.
    """

    context: ClassVar[ContextName] = "sketch"

    def __init__(self, n_features: int, width: int = 128, noise: float = 0.0) -> None:
        super().__init__()
        self.width, self.noise = width, noise
        self.net = nn.Sequential(nn.Linear(n_features, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())

    def forward(self, features: Float[Tensor, "b f"], mask: Tensor | None = None) -> Float[Tensor, "b h"]:
        """Encode; a sketch has no padding, so there is no mask to heed. NaN counts as 0, and ±16 is the limit."""
        limited = _limited(features, FEATURE_LIMIT)
        if self.training and self.noise > 0:
            limited = limited + self.noise * torch.randn_like(limited)
        context: Tensor = self.net(limited)
        return context


class ImageSetEncoder(nn.Module):
    """A set of pictures (B, S, C, H, W) with mask (B, S) → context u (B, h).

    Each picture is encoded by itself and the set is averaged, so neither order, padding nor batch-mates matter.
    """

    context: ClassVar[ContextName] = "samples"

    def __init__(self, channels: int = 1, width: int = 128) -> None:
        super().__init__()
        self.width = width
        self.picture = nn.Sequential(
            nn.Conv2d(channels, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.GroupNorm(4, 32),
            nn.ReLU(),
            nn.Conv2d(32, width, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.out = nn.Sequential(nn.Linear(width, width), nn.ReLU())

    def forward(
        self, samples: Float[Tensor, "b s c h w"], mask: Float[Tensor, "b s"] | None = None
    ) -> Float[Tensor, "b width"]:
        """Encode; samples whose mask is 0, or which are not finite, do not count."""
        whole = samples.flatten(2).isfinite().all(dim=2).to(samples.dtype)  # (B, S)
        mask = whole if mask is None else whole * mask
        each = self.picture(_limited(samples, SAMPLE_LIMIT).flatten(0, 1)).mean(dim=(2, 3))  # (B·S, h)
        each = each.reshape(*samples.shape[:2], self.width)  # (B, S, h)
        weights = (mask / mask.sum(dim=1, keepdim=True).clamp(min=1)).unsqueeze(2)
        context: Tensor = self.out((each * weights).sum(dim=1))
        return context


class BothEncoder(nn.Module):
    """A sketch (B, F) together with pictures (B, S, C, H, W) and their mask (B, S) → context u (B, h)."""

    context: ClassVar[ContextName] = "both"

    def __init__(self, n_features: int, channels: int = 1, width: int = 128) -> None:
        super().__init__()
        self.width = width
        self.sketch = SketchEncoder(n_features, width)
        self.samples = ImageSetEncoder(channels, width)
        self.join = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU())

    def forward(self, context: tuple[Tensor, Tensor], mask: Float[Tensor, "b s"] | None = None) -> Float[Tensor, "b h"]:
        """Encode the pair of features and samples, each as its own encoder does."""
        features, samples = context
        joined: Tensor = self.join(torch.cat([self.sketch(features), self.samples(samples, mask)], dim=1))
        return joined


def _limited(values: Tensor, limit: float) -> Tensor:
    return values.nan_to_num(nan=0.0, posinf=limit, neginf=-limit).clamp(-limit, limit)
