"""A small convolutional net for small pictures: about 41,000 parameters, with batch or group normalisation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

Norm = Callable[[int], nn.Module]


class CNN(nn.Module):
    """Three stages of convolution, normalisation and ReLU, then the mean over the picture and a linear head.

    The first two stages halve the picture by their stride: a quarter of the cost of pooling, at equal parameters.

    Its weights lie channels last, which convolutions on a CPU prefer.

    Input (N, channels, H, W) in [0, 1]; output logits (N, classes).
    """

    def __init__(self, norm: Norm, classes: int = 10, channels: int = 1) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 24, 5, stride=2, padding=2, bias=False)
        self.norm1 = norm(24)
        self.conv2 = nn.Conv2d(24, 48, 3, stride=2, padding=1, bias=False)
        self.norm2 = norm(48)
        self.conv3 = nn.Conv2d(48, 64, 3, padding=1, bias=False)
        self.norm3 = norm(64)
        self.act = nn.ReLU()
        self.head = nn.Linear(64, classes)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this use

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return logits (N, classes)."""
        x = self.act(self.norm1(self.stem(x)))  # (N, 24, H/2, W/2)
        x = self.act(self.norm2(self.conv2(x)))  # (N, 48, H/4, W/4)
        x = self.act(self.norm3(self.conv3(x)))  # (N, 64, H/4, W/4)
        logits: Tensor = self.head(x.mean(dim=(2, 3)))
        return logits


def cnn_bn(classes: int = 10, channels: int = 1) -> CNN:
    """Return the net with batch normalisation."""
    return CNN(nn.BatchNorm2d, classes, channels)


def cnn_gn(classes: int = 10, channels: int = 1) -> CNN:
    """Return the net with group normalisation: eight channels a group."""
    return CNN(lambda width: nn.GroupNorm(width // 8, width), classes, channels)
