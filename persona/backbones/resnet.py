"""A residual net of eight layers for small pictures: about 78,000 parameters, with batch or group normalisation.

Source of the design: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2, in the size
that Banbury et al., "MLPerf Tiny Benchmark", NeurIPS 2021 Datasets and Benchmarks, chose for microcontrollers.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

Norm = Callable[[int], nn.Module]


class ResNet8(nn.Module):
    """A stem and three residual blocks of two convolutions, 16, 32 and 64 channels wide, then the mean and a head.

    The second and third block halve the picture; a 1 × 1 convolution fits their short cut. All norms are `norm1` to
    `norm7`, in the order of the forward pass. Weights lie channels last.

    Input (N, channels, H, W) in [0, 1]; output logits (N, classes).
    """

    def __init__(self, norm: Norm, classes: int = 10, channels: int = 1) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.norm1 = norm(16)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.norm2 = norm(16)
        self.conv3 = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.norm3 = norm(16)
        self.skip2 = nn.Conv2d(16, 32, 1, stride=2)
        self.conv4 = nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False)
        self.norm4 = norm(32)
        self.conv5 = nn.Conv2d(32, 32, 3, padding=1, bias=False)
        self.norm5 = norm(32)
        self.skip3 = nn.Conv2d(32, 64, 1, stride=2)
        self.conv6 = nn.Conv2d(32, 64, 3, stride=2, padding=1, bias=False)
        self.norm6 = norm(64)
        self.conv7 = nn.Conv2d(64, 64, 3, padding=1, bias=False)
        self.norm7 = norm(64)
        self.act = nn.ReLU()
        self.head = nn.Linear(64, classes)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this use

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return logits (N, classes)."""
        x = self.act(self.norm1(self.stem(x)))  # (N, 16, H, W)
        inner = self.act(self.norm2(self.conv2(x)))
        x = self.act(x + self.norm3(self.conv3(inner)))
        inner = self.act(self.norm4(self.conv4(x)))
        x = self.act(self.skip2(x) + self.norm5(self.conv5(inner)))  # (N, 32, H/2, W/2)
        inner = self.act(self.norm6(self.conv6(x)))
        x = self.act(self.skip3(x) + self.norm7(self.conv7(inner)))  # (N, 64, H/4, W/4)
        logits: Tensor = self.head(x.mean(dim=(2, 3)))
        return logits


def resnet_8(classes: int = 10, channels: int = 1) -> ResNet8:
    """Return the net with batch normalisation."""
    return ResNet8(nn.BatchNorm2d, classes, channels)


def resnet_8_gn(classes: int = 10, channels: int = 1) -> ResNet8:
    """Return the net with group normalisation: eight channels a group."""
    return ResNet8(lambda width: nn.GroupNorm(width // 8, width), classes, channels)
