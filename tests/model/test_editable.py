"""EditableModel: what an edit reaches, what is refused, and what stays as it was."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from persona.errors import EditError, SpecError
from persona.model import EditableModel
from tests.nets import PictureNet, PlainNet, SequenceNet, TiedNet, editable, inputs, random_deltas

NETS = [PlainNet, PictureNet, SequenceNet, TiedNet]


@pytest.mark.parametrize("kind", NETS)
def test_each_device_gets_what_an_edited_copy_of_the_module_gives(kind: type[nn.Module]) -> None:
    model, x = editable(kind), inputs(kind, 12)
    deltas = random_deltas(model.spec, devices=3)
    together = model(x, deltas)
    for device, own in enumerate(x.chunk(3)):
        plain = copy.deepcopy(model)
        if kind is TiedNet:  # an edit unties
            plain.module.head.weight = nn.Parameter(plain.module.head.weight.detach().clone())
        with torch.no_grad():
            for name, delta in deltas.items():
                plain.module.get_parameter(name).add_(delta[device])
        alone = plain(own)
        torch.testing.assert_close(together.logits[4 * device : 4 * device + 4], alone.logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(together.moments[4 * device : 4 * device + 4], alone.moments, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", NETS)
def test_another_devices_edit_changes_no_bit(kind: type[nn.Module]) -> None:
    model, x = editable(kind), inputs(kind, 12)
    deltas = random_deltas(model.spec, devices=3)
    before = model(x, deltas)
    after = model(x, {name: torch.cat([delta[:1], -delta[1:2], delta[2:]]) for name, delta in deltas.items()})
    for old, new in zip(before, after, strict=True):
        assert not torch.equal(old[4:8], new[4:8])
        assert torch.equal(old[:4], new[:4])
        assert torch.equal(old[8:], new[8:])


def test_a_zero_edit_is_the_base_model() -> None:
    model, x = editable(PictureNet), inputs(PictureNet, 6)
    zero = {name: torch.zeros(3, *value.shape) for name, value in model.base_weights().items()}
    torch.testing.assert_close(model(x, zero).logits, model(x).logits, atol=1e-6, rtol=1e-6)
    assert torch.equal(model(x, {}).logits, model(x).logits)


def test_an_edit_without_a_device_axis_is_for_everybody() -> None:
    model, x = editable(PictureNet), inputs(PictureNet, 6)
    deltas = random_deltas(model.spec, devices=1)
    shared = {name: delta[0] for name, delta in deltas.items()}
    torch.testing.assert_close(model(x, shared).logits, model(x, deltas).logits, atol=1e-5, rtol=1e-5)


def test_weights_are_base_weights_plus_deltas() -> None:
    model, x = editable(PlainNet), inputs(PlainNet, 4)
    deltas = random_deltas(model.spec, devices=2)
    weights = {name: value + deltas[name] for name, value in model.base_weights().items()}
    assert torch.equal(model.with_weights(x, weights).logits, model(x, deltas).logits)
    assert tuple(weights) == model.spec.names


def test_some_tensors_may_be_edited_and_others_not() -> None:
    model, x = editable(PictureNet), inputs(PictureNet, 6)
    deltas = random_deltas(model.spec, devices=3)
    for name, delta in deltas.items():
        zeros = {other: torch.zeros_like(value) for other, value in deltas.items()}
        wanted = model(x, {**zeros, name: delta}).logits
        torch.testing.assert_close(model(x, {name: delta}).logits, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("head.wieght", (2, 3, 8), "'head.wieght' is no editable tensor"),
        ("first.weight", (2, 8, 6), "'first.weight' is no editable tensor .* there are head.weight, head.bias"),
        ("head.bias", (2, 1), r"edit of 'head.bias' has shape \(2, 1\); wanted \(3,\)"),
        ("head.weight", (2, 2, 3, 8), r"edit of 'head.weight' has shape \(2, 2, 3, 8\)"),
        ("head.weight", (8,), r"edit of 'head.weight' has shape \(8,\)"),
        ("head.weight", (5, 3, 8), "a batch of 4 samples does not divide over 5 edits"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused(name: str, shape: tuple[int, ...], message: str) -> None:
    model, x = editable(PlainNet, "head"), inputs(PlainNet, 4)
    with pytest.raises(EditError, match=message):
        model(x, {name: torch.zeros(shape)})
    with pytest.raises(EditError, match=message):
        model.with_weights(x, {name: torch.zeros(shape)})


@pytest.mark.parametrize("kind", NETS)
def test_the_module_given_stays_as_it_is(kind: type[nn.Module]) -> None:
    net, x = kind(), inputs(kind, 4)
    classes = [type(child) for child in net.modules()]
    state = copy.deepcopy(net.state_dict())
    model = EditableModel(net, ["*"], x)
    model.train()(x, random_deltas(model.spec, 2)).logits.sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert net.training
    assert [type(child) for child in net.modules()] == classes
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(child._forward_pre_hooks for child in net.modules())


def test_making_and_running_a_model_leaves_modes_hooks_and_statistics() -> None:
    net = PictureNet().train()
    net.gn.eval()
    model = EditableModel(net, ["*"], inputs(PictureNet, 2))
    assert model.module.training
    assert not model.module.get_submodule("gn").training
    assert all(torch.equal(value, dict(net.named_buffers())[name]) for name, value in model.module.named_buffers())
    with pytest.raises(EditError, match="does not divide"):
        model(inputs(PictureNet, 5), random_deltas(model.spec, 2))
    assert not any(child._forward_pre_hooks for child in model.module.modules())


def test_editing_a_tied_head_edits_the_head_only() -> None:
    model, x = editable(TiedNet, "head"), inputs(TiedNet, 4)
    delta = torch.full((1, 4, 6), 0.5)
    net = model.module
    hidden = torch.relu(net.get_submodule("back")(net.get_submodule("embedding")(x)))
    wanted = hidden @ (net.get_parameter("embedding.weight") + delta[0]).T
    torch.testing.assert_close(model(x, {"head.weight": delta}).logits, wanted)
    assert model.spec.names == ("head.weight",)


def test_tied_layers_train_as_one() -> None:
    model, x = editable(TiedNet), inputs(TiedNet, 4)
    model(x, random_deltas(model.spec, 2)).logits.sum().backward()
    assert model.module.get_parameter("head.weight") is model.module.get_parameter("embedding.weight")
    assert len(list(model.parameters())) == 3


class Twice(nn.Module):
    """One layer called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(torch.relu(self.layer(x)))
        return logits


def test_a_layer_used_twice_is_edited_twice_and_tapped_once() -> None:
    model, x = EditableModel(Twice(), ["layer"], torch.zeros(2, 4)), torch.randn(4, 4)
    deltas = random_deltas(model.spec, devices=1)
    weight = model.base_weights()["layer.weight"] + deltas["layer.weight"][0]
    bias = model.base_weights()["layer.bias"] + deltas["layer.bias"][0]
    logits, moments = model(x, deltas)
    torch.testing.assert_close(logits, torch.relu(x @ weight.T + bias) @ weight.T + bias)
    assert torch.equal(moments, torch.cat([x, x * x], dim=1))


class Overwriting(nn.Module):
    """A block whose input is overwritten behind the layer that read it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x * 1
        x += self.norm(input=x)
        logits: Tensor = self.head(x.mean(dim=(2, 3)))
        return logits


def test_moments_are_of_what_the_layer_read() -> None:
    model = EditableModel(Overwriting(), ["head"], torch.zeros(2, 3, 4, 4)).eval()
    x = torch.randn(5, 3, 4, 4)
    wanted = torch.cat([x.mean(dim=(2, 3)), x.square().mean(dim=(2, 3))], dim=1)
    torch.testing.assert_close(model(x).moments[:, :6], wanted)


@pytest.mark.parametrize("grad", [True, False])
def test_torchs_fused_transformer_layers_heed_the_edit(grad: bool) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into = nn.Linear(4, 8)
            self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.head = nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.head(self.block(self.into(x)).mean(dim=1))
            return logits

    model = EditableModel(Net(), ["block.linear1", "block.norm2"], torch.randn(2, 6, 4), taps=["into"]).eval()
    x, deltas = torch.randn(4, 6, 4), random_deltas(model.spec, devices=2)
    with torch.set_grad_enabled(grad):
        together = model(x, deltas).logits
        for device in range(2):
            alone = model(x[2 * device : 2 * device + 2], {name: delta[device] for name, delta in deltas.items()})
            torch.testing.assert_close(together[2 * device : 2 * device + 2], alone.logits, atol=1e-5, rtol=1e-5)


def test_the_spec_follows_the_forward_pass_and_bounds_edits_by_the_weights() -> None:
    model = editable(PictureNet, "head", "bn", "stem")
    assert [layer.name for layer in model.spec.layers] == ["stem", "bn", "head"]
    assert [layer.kind for layer in model.spec.layers] == ["conv", "norm", "linear"]
    weights = {name: value.numpy() for name, value in model.base_weights().items()}
    rms = {name: float(np.sqrt(np.mean(value**2))) for name, value in weights.items()}
    bounds = {tensor.name: tensor.bound for tensor in model.spec.tensors}
    for name in ("stem.weight", "bn.weight", "head.weight"):
        assert bounds[name] == pytest.approx(rms[name], rel=1e-5)
    assert bounds["bn.bias"] == pytest.approx(rms["bn.weight"], rel=1e-5)
    assert bounds["head.bias"] == pytest.approx(rms["head.weight"] * 8**0.5, rel=1e-5)


def test_rho_scales_the_bounds_and_zero_weights_have_one() -> None:
    net = PlainNet()
    nn.init.zeros_(net.head.weight)
    bounds = [EditableModel(net, ["head"], torch.zeros(2, 6), rho=rho).spec.tensors[0].bound for rho in (1.0, 0.25)]
    assert bounds == pytest.approx([1e-3, 0.25e-3])


def test_precision_follows_the_module() -> None:
    double = EditableModel(PictureNet().double(), ["*"], inputs(PictureNet, 2).double()).eval()
    logits, moments = double(inputs(PictureNet, 4).double(), random_deltas(double.spec, 2))
    assert logits.dtype == moments.dtype == torch.float64
    half = EditableModel(PlainNet().bfloat16(), ["*"], inputs(PlainNet, 2).bfloat16())
    assert half(inputs(PlainNet, 4).bfloat16(), random_deltas(half.spec, 2)).logits.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (lambda logits: logits[:, :, None], r"\(2, 3, 1\)"),
        (lambda logits: logits[:, 0], r"\(2,\)"),
        (lambda logits: logits.sum(dim=0, keepdim=True), r"\(1, 3\)"),
        (lambda logits: (logits, logits), "a tuple"),
    ],
)
def test_an_output_that_is_not_logits_is_refused(output: object, found: str) -> None:
    class Net(PlainNet):
        def forward(self, x: Tensor) -> Tensor:
            return output(super().forward(x))  # type: ignore[operator]

    with pytest.raises(SpecError, match=f"output on a batch of 2 is {found}; wanted one tensor of logits"):
        EditableModel(Net(), ["head"], inputs(PlainNet, 2))
