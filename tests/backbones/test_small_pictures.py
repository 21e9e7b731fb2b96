"""What holds for every net for small pictures: its size, the pictures it takes, and that nothing in it is idle."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from persona.backbones.cnn import cnn_bn, cnn_gn
from persona.backbones.resnet import resnet_8, resnet_8_gn

# Net, and the thousands of parameters between which it says to be.
SIZES = [(cnn_bn, 38, 42), (cnn_gn, 38, 42), (resnet_8, 77, 79), (resnet_8_gn, 77, 79)]
MAKERS = pytest.mark.parametrize("make", [make for make, _, _ in SIZES])


@pytest.mark.parametrize(("make", "least", "most"), SIZES)
def test_it_is_as_small_as_it_says(make: type, least: int, most: int) -> None:
    assert 1000 * least < sum(parameter.numel() for parameter in make().parameters()) < 1000 * most


@MAKERS
@pytest.mark.parametrize(
    ("classes", "channels", "size"), [(10, 1, (28, 28)), (10, 3, (32, 32)), (3, 3, (9, 17)), (2, 2, (1, 1))]
)
def test_pictures_of_any_size_give_logits(make: type, classes: int, channels: int, size: tuple[int, int]) -> None:
    net = make(classes=classes, channels=channels).eval()
    assert net(torch.rand(4, channels, *size)).shape == (4, classes)


@MAKERS
def test_every_parameter_is_used(make: type) -> None:
    net = make()
    nn.functional.cross_entropy(net(torch.rand(8, 1, 28, 28)), torch.arange(8)).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in net.parameters())
