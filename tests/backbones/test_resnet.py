"""The residual net of eight layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from persona import catalog
from persona.backbones.resnet import resnet_8, resnet_8_gn
from persona.model.editable import EditableModel

MAKERS = pytest.mark.parametrize("make", [resnet_8, resnet_8_gn])


@MAKERS
def test_it_is_as_small_as_it_says(make: type) -> None:
    assert 77_000 < sum(parameter.numel() for parameter in make().parameters()) < 79_000


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
