"""Nets whose features are their pixels: what a method does to them before the head can be worked out by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def flat_net(weight: list[list[float]], bias: list[float] | None = None) -> nn.Module:
    """Return a net of pictures (N, 1, 1, F) whose features are the pixels, and whose head is given."""
    head = nn.Linear(len(weight[0]), len(weight))
    with torch.no_grad():
        head.weight.copy_(torch.tensor(weight))
        head.bias.copy_(torch.tensor(bias or [0.0] * len(weight)))
    return nn.Sequential(nn.Flatten(), head)


def pictures(rows: list[list[float]]) -> Tensor:
    """Return pictures (N, 1, 1, F) with the given features."""
    return torch.tensor(rows)[:, None, None, :]
