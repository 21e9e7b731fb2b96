"""Small worlds for peers: nets with a lived-in normalisation, nets whose logits are known by hand, and windows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from persona.backbones.cnn import cnn_bn, cnn_gn
from persona.baselines.base import Method
from persona.errors import DataError

CLASSES = 4


def lived_in(kind: str, seed: int = 0) -> nn.Module:
    """Return a net, "bn" or "gn", for pictures of one channel, its norms with values of their own."""
    torch.manual_seed(seed)
    net = {"bn": cnn_bn, "gn": cnn_gn}[kind](classes=CLASSES).eval()
    with torch.no_grad():
        net.head.weight.mul_(4)
        for name, value in net.state_dict().items():
            if "norm" in name and value.is_floating_point():
                value.add_(0.3 * torch.rand_like(value))
    return net


def window(n: int = 16, seed: int = 1, size: int = 8) -> Tensor:
    """Return pictures (N, 1, size, size) in [0, 1], of different brightness."""
    dice = torch.Generator().manual_seed(seed)
    return torch.rand(n, 1, size, size, generator=dice) * torch.rand(n, 1, 1, 1, generator=dice)


def plain_net(scale: float = 1.0) -> nn.Module:
    """Return a net whose logits are its four pixels, normalised by themselves, times four scales, plus four shifts."""
    net = nn.Sequential(nn.Flatten(), nn.LayerNorm(CLASSES))
    with torch.no_grad():
        net[1].weight.copy_(scale * torch.tensor([1.0, 0.8, 1.2, 0.9]))
        net[1].bias.copy_(scale * torch.tensor([0.1, 0.0, -0.1, 0.2]))
    return net


def pixels(n: int = 8, seed: int = 1) -> Tensor:
    """Return pictures (N, 4, 1, 1) for `plain_net`: one pixel with a channel a class."""
    return torch.rand(n, CLASSES, 1, 1, generator=torch.Generator().manual_seed(seed))


def parameters_behind(answer: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return scales (4,) and shifts (4,) of a `plain_net` that answered (N, 4) for pixels x, by least squares."""
    normalised = nn.functional.layer_norm(x.flatten(1), (CLASSES,)).double()
    ones = torch.ones(len(x), dtype=torch.float64)
    found = [
        torch.linalg.lstsq(torch.stack([normalised[:, k], ones], 1), answer[:, k : k + 1].double()).solution
        for k in range(CLASSES)
    ]
    both = torch.cat(found, dim=1).float()
    return both[0], both[1]


def check_no_trace(method: Method, windows: Tensor) -> None:
    """Let a method refuse windows like the first of (B, N, 1, H, W) but broken, and answer for the second as before."""
    method.step(windows[0])
    before = method.answer(windows[1])
    for bad in (windows[0] * torch.nan, windows[0][:0], windows[0].repeat(1, 3, 1, 1)):
        with pytest.raises(DataError):
            method.step(bad)
    assert torch.equal(method.answer(windows[1]), before)
    assert torch.isfinite(method.step(torch.zeros(1, *windows.shape[2:]))).all()
