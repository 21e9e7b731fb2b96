"""Context encoders: what the adapter makes of a device's recent data (method §2)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class SketchEncoder(nn.Module):
    """Standardised sketch features (B, F) → context u (B, h)."""

    def __init__(self, n_features: int, width: int = 128) -> None:
        super().__init__()
        self.width = width
        self.net = nn.Sequential(nn.Linear(n_features, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())

    def forward(self, features: Float[Tensor, "b f"], mask: Tensor | None = None) -> Float[Tensor, "b h"]:
        """Encode; a sketch has no padding, so there is no mask to heed."""
        context: Tensor = self.net(features)
        return context


class ImageSetEncoder(nn.Module):
    """A set of pictures (B, S, C, H, W) with mask (B, S) → context u (B, h).

    Each picture is encoded by itself and the set is averaged, so neither order, padding nor batch-mates matter.
    """

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
        """Encode; samples whose mask is 0 do not count."""
        each = self.picture(samples.flatten(0, 1)).mean(dim=(2, 3))  # (B·S, h)
        each = each.reshape(*samples.shape[:2], self.width)  # (B, S, h)
        mask = samples.new_ones(samples.shape[:2]) if mask is None else mask
        weights = (mask / mask.sum(dim=1, keepdim=True).clamp(min=1)).unsqueeze(2)
        context: Tensor = self.out((each * weights).sum(dim=1))
        return context
