"""The small convolutional net."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from persona.backbones.cnn import cnn_bn, cnn_gn

MAKERS = pytest.mark.parametrize("make", [cnn_bn, cnn_gn])


@MAKERS
def test_it_is_as_small_as_it_says(make: type) -> None:
    assert 38_000 < sum(parameter.numel() for parameter in make().parameters()) < 42_000


@MAKERS
@pytest.mark.parametrize(("classes", "channels", "size"), [(10, 1, (28, 28)), (3, 3, (9, 17)), (2, 2, (1, 1))])
def test_pictures_of_any_size_give_logits(make: type, classes: int, channels: int, size: tuple[int, int]) -> None:
    net = make(classes=classes, channels=channels).eval()
    assert net(torch.rand(4, channels, *size)).shape == (4, classes)


@MAKERS
def test_every_parameter_is_used(make: type) -> None:
    net = make()
    nn.functional.cross_entropy(net(torch.rand(8, 1, 28, 28)), torch.arange(8)).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in net.parameters())


def test_the_norms_are_those_of_the_names() -> None:
    assert type(cnn_bn().norm2) is nn.BatchNorm2d
    assert type(cnn_gn().norm2) is nn.GroupNorm
    assert cnn_gn().norm2.num_channels // cnn_gn().norm2.num_groups == 8


@MAKERS
def test_the_layout_in_memory_does_not_change_the_answer(make: type) -> None:
    net, x = make().eval(), torch.rand(3, 1, 28, 28)
    assert net.conv2.weight.is_contiguous(memory_format=torch.channels_last)
    wanted = net(x)
    torch.testing.assert_close(net.to(memory_format=torch.contiguous_format)(x), wanted, atol=1e-5, rtol=1e-5)
