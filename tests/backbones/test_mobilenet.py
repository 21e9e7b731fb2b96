"""The narrow MobileNetV3-small."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from persona import catalog
from persona.backbones.mobilenet import MobileNetV3Small, mobilenet_v3_small
from persona.model.editable import EditableModel


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def test_it_is_as_small_as_it_says_and_grows_with_its_width() -> None:
    assert 350_000 < count(mobilenet_v3_small()) < 365_000
    assert count(MobileNetV3Small(width=0.3)) < count(mobilenet_v3_small()) < count(MobileNetV3Small(width=1.0))


@pytest.mark.parametrize(("classes", "channels", "size"), [(7, 3, (64, 64)), (10, 1, (28, 28)), (2, 3, (1, 1))])
def test_pictures_of_any_size_give_logits(classes: int, channels: int, size: tuple[int, int]) -> None:
    net = mobilenet_v3_small(classes=classes, channels=channels).eval()
    assert net(torch.rand(2, channels, *size)).shape == (2, classes)


def test_the_picture_is_halved_four_times() -> None:
    net, sizes = mobilenet_v3_small().eval(), []
    net.norm12.register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape[2:])))
    net(torch.rand(1, 3, 64, 64))
    assert sizes == [(4, 4)]


def test_every_parameter_is_used() -> None:
    net = mobilenet_v3_small()
    nn.functional.cross_entropy(net(torch.rand(7, 3, 64, 64)), torch.arange(7)).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in net.parameters())


def test_a_squeeze_weighs_channels() -> None:
    net, x = mobilenet_v3_small().train(), torch.rand(4, 3, 64, 64)
    before = net(x)
    nn.init.constant_(net.excite5.bias, -1e3)  # the gate is shut: nothing of what block 5 filters comes through
    after = net(x)
    assert not torch.allclose(before, after)
    nn.init.normal_(net.depth5.weight)
    torch.testing.assert_close(net(x), after)


def test_norms_and_head_can_be_edited_by_the_usual_patterns_in_forward_order() -> None:
    net = catalog.load("backbones", "mobilenet-v3-small")(7, 3)
    called: list[str] = []
    for name, layer in net.named_modules():
        if name.startswith("norm") or name == "head":
            layer.register_forward_hook(lambda *_, name=name: called.append(name))
    net.eval()(torch.rand(1, 3, 64, 64))
    model = EditableModel(mobilenet_v3_small(), ("norm*", "head"), torch.zeros(2, 3, 64, 64))
    assert [tensor.name for tensor in model.spec.tensors] == [f"{n}.{p}" for n in called for p in ("weight", "bias")]
    assert len(called) == 2 + 3 * 11 + 1
