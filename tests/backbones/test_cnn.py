"""The small convolutional net."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from persona.backbones.cnn import cnn_bn, cnn_gn

MAKERS = pytest.mark.parametrize("make", [cnn_bn, cnn_gn])


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
