"""The residual net of eight layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from persona import catalog
from persona.backbones.resnet import resnet_8
from persona.model.editable import EditableModel


def test_a_block_without_weights_passes_its_input_on() -> None:
    net = resnet_8().eval()
    for norm in (net.norm3, net.norm5, net.norm7):
        nn.init.zeros_(norm.weight)
    x = torch.rand(2, 1, 28, 28)
    stem = net.act(net.norm1(net.stem(x)))
    wanted = net.head(net.act(net.skip3(net.act(net.skip2(stem)))).mean(dim=(2, 3)))
    torch.testing.assert_close(net(x), wanted)


@pytest.mark.parametrize(("name", "norm"), [("resnet-8", nn.BatchNorm2d), ("resnet-8-gn", nn.GroupNorm)])
def test_norms_and_head_can_be_edited_by_the_usual_patterns(name: str, norm: type) -> None:
    net = catalog.load("backbones", name)(10, 3)
    assert type(net.norm7) is norm
    model = EditableModel(net, ("norm*", "head"), torch.zeros(2, 3, 32, 32))
    names = [tensor.name for tensor in model.spec.tensors]
    assert names == [f"{layer}.{part}" for layer in (*(f"norm{i}" for i in range(1, 8)), "head") for part in PARTS]


PARTS = ("weight", "bias")
