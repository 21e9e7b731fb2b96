"""A device's own statistics within a pass: torch's batch normalisation on that device alone, in any mixture."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from persona.errors import EditError
from persona.model import EditableModel
from persona.model.patterns import make_editable
from persona.renorm import LARGEST_FACTOR
from tests.nets import PictureNet, editable, inputs, random_deltas

DEVICES, SAMPLES, CHANNELS = 3, 4, 5


def lived_in(**options: bool) -> nn.BatchNorm2d:
    dice = torch.Generator().manual_seed(0)
    layer = nn.BatchNorm2d(CHANNELS, **options).eval()
    with torch.no_grad():
        for name, value in layer.state_dict().items():
            if value.is_floating_point():
                random = torch.randn(value.shape, generator=dice)
                value.copy_(random.abs() + 0.5 if name == "running_var" else random)
    return layer


def made_editable(layer: nn.Module) -> nn.Module:
    holder = nn.ModuleDict({"layer": copy.deepcopy(layer)})
    make_editable(holder, {"layer": ""})
    return holder["layer"]


def batch() -> Tensor:
    """Return (B·Q, C, 4, 4); every device has statistics of its own."""
    dice = torch.Generator().manual_seed(1)
    x = torch.randn(DEVICES, SAMPLES, CHANNELS, 4, 4, generator=dice)
    offset, spread = torch.randn(2, DEVICES, 1, CHANNELS, 1, 1, generator=dice)
    return (offset + (0.3 + spread.abs()) * x).flatten(0, 1)


def per_device() -> dict[str, Tensor]:
    dice = torch.Generator().manual_seed(2)
    return {name: torch.randn(DEVICES, CHANNELS, generator=dice) for name in ("weight", "bias")}


def run(layer: nn.Module, x: Tensor, share: Tensor | float, weights: Mapping[str, Tensor] | None = None) -> Tensor:
    out: Tensor = functional_call(layer, {**(weights or {}), "own_share": torch.as_tensor(share)}, (x,))
    return out


def oracle(layer: nn.BatchNorm2d, x: Tensor, weights: Mapping[str, Tensor], device: int) -> Tensor:
    """Return torch's own layer on one device's samples, in the layer's mode."""
    own = x.unflatten(0, (DEVICES, SAMPLES))[device]
    out: Tensor = functional_call(copy.deepcopy(layer), {name: w[device] for name, w in weights.items()}, (own,))
    return out


@pytest.mark.parametrize(("share", "training"), [(1.0, True), (0.0, False)])
@pytest.mark.parametrize("edited", [("weight",), ("bias",), ("weight", "bias")])
def test_a_whole_share_is_training_mode_on_each_device_and_none_is_evaluation(
    share: float, training: bool, edited: tuple[str, ...]
) -> None:
    layer, x = lived_in(), batch()
    weights = {name: value for name, value in per_device().items() if name in edited}
    found = run(made_editable(layer), x, share, weights).unflatten(0, (DEVICES, SAMPLES))
    for device in range(DEVICES):
        wanted = oracle(layer.train(training), x, weights, device)
        torch.testing.assert_close(found[device], wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("share", [0.25, 0.7])
def test_between_them_means_and_variances_are_mixed(share: float) -> None:
    layer, x, weights = lived_in(), batch(), per_device()
    found = run(made_editable(layer), x, share, weights).unflatten(0, (DEVICES, SAMPLES))
    assert layer.running_mean is not None
    assert layer.running_var is not None
    for device, own in enumerate(x.unflatten(0, (DEVICES, SAMPLES))):
        mixed = copy.deepcopy(layer)
        mixed.running_mean = share * own.mean(dim=(0, 2, 3)) + (1 - share) * layer.running_mean
        mixed.running_var = share * own.var(dim=(0, 2, 3), correction=0) + (1 - share) * layer.running_var
        torch.testing.assert_close(found[device], oracle(mixed, x, weights, device), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_the_kept_statistics_stay_and_the_mode_does_not_matter(training: bool) -> None:
    layer, x = lived_in().train(training), batch()
    ours = made_editable(layer)
    found = run(ours, x, 0.4, per_device())
    assert ours.state_dict().keys() == layer.state_dict().keys(), "a share lasts for one call and is never saved"
    assert all(torch.equal(value, layer.state_dict()[name]) for name, value in ours.state_dict().items())
    assert torch.equal(ours(x), layer(x)), "after the call all is as before"
    assert torch.equal(found, run(made_editable(lived_in().train(not training)), x, 0.4, per_device()))


def test_without_a_device_axis_all_samples_are_of_one_device() -> None:
    layer, x = lived_in(), batch()
    torch.testing.assert_close(run(made_editable(layer), x, 1.0), layer.train()(x), atol=1e-5, rtol=1e-5)


def test_the_gradient_reaches_the_share_the_samples_and_the_weights() -> None:
    """Against finite differences, in double precision."""
    layer = made_editable(lived_in().double())
    share = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    x = batch()[:, :, :2, :2].double().requires_grad_()
    weight, bias = (value.double().requires_grad_() for value in per_device().values())
    assert torch.autograd.gradcheck(
        lambda s, x, w, b: run(layer, x, s, {"weight": w, "bias": b}), (share, x, weight, bias), fast_mode=True
    )
    out = run(layer, x, share).square().sum()
    (grad,) = torch.autograd.grad(out, share)
    assert grad.abs() > 1e-3


def test_another_devices_samples_and_weights_change_no_bit() -> None:
    ours, x, weights = made_editable(lived_in()), batch(), per_device()
    before = run(ours, x, 0.6, weights)
    x[SAMPLES : 2 * SAMPLES] *= 5.0
    weights["weight"][1] = 7.0
    after = run(ours, x, 0.6, weights)
    assert not torch.allclose(after[SAMPLES : 2 * SAMPLES], before[SAMPLES : 2 * SAMPLES])
    assert torch.equal(after[:SAMPLES], before[:SAMPLES])
    assert torch.equal(after[2 * SAMPLES :], before[2 * SAMPLES :])


def test_samples_that_are_all_but_the_same_are_stretched_to_the_limit_and_no_further() -> None:
    layer = lived_in()
    assert layer.running_var is not None
    x = 0.5 + 1e-4 * batch()
    share = torch.tensor(1.0, requires_grad=True)
    found = run(made_editable(layer), x, share)
    wanted = LARGEST_FACTOR * layer.weight / (layer.running_var + layer.eps).sqrt()
    spread = (x - x.mean(dim=(0, 2, 3), keepdim=True)) * wanted.reshape(1, -1, 1, 1)
    torch.testing.assert_close(found, spread + layer.bias.reshape(1, -1, 1, 1), atol=1e-5, rtol=1e-4)
    constant = run(made_editable(layer), torch.full_like(x, 0.5), share)
    torch.testing.assert_close(constant, layer.bias.reshape(1, -1, 1, 1).expand_as(constant))
    constant.sum().backward()
    assert share.grad is not None
    assert share.grad.isfinite()


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(EditError, match="11 samples does not divide over 3 edits"):
        run(made_editable(lived_in()), batch()[:-1], 0.5, per_device())


def test_a_layer_without_statistics_has_none_to_mix() -> None:
    with pytest.raises(EditError, match="a layer without statistics of training has none to mix"):
        run(made_editable(lived_in(track_running_stats=False)), batch(), 0.5)


@pytest.fixture(scope="module")
def model() -> EditableModel:
    return editable(PictureNet, "stem", "bn", "gn", "head")


def test_a_whole_net_takes_the_statistics_behind_the_edits_before_them(model: EditableModel) -> None:
    """The stem in front of the norm is edited too: the oracle is an edited copy of the net, its norm in training."""
    x, deltas = inputs(PictureNet, DEVICES * SAMPLES), random_deltas(model.spec, DEVICES)
    with torch.no_grad():
        found = model(x, deltas, {"bn": torch.tensor(1.0)}).logits.unflatten(0, (DEVICES, SAMPLES))
        for device, own in enumerate(x.unflatten(0, (DEVICES, SAMPLES))):
            alone = copy.deepcopy(model.module)
            for name, delta in deltas.items():
                alone.get_parameter(name).add_(delta[device])
            alone.get_submodule("bn").train()
            torch.testing.assert_close(found[device], alone(own), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"nobody": torch.tensor(0.5)}, "'nobody' is no edited batch normalisation of this model; there are bn"),
        ({"gn": torch.tensor(0.5)}, "'gn' is no edited batch normalisation of this model; there are bn"),
        ({"head": torch.tensor(0.5)}, "'head' is no edited batch normalisation"),
        ({"bn": torch.full((8,), 0.5)}, r"the share of own statistics of 'bn' has shape \(8,\); wanted \(\)"),
    ],
)
def test_shares_that_belong_to_no_layer_are_refused(model: EditableModel, own: dict[str, Tensor], said: str) -> None:
    with pytest.raises(EditError, match=said):
        model(inputs(PictureNet, 2), {}, own)


def test_a_batch_normalisation_that_is_not_edited_takes_no_share() -> None:
    with pytest.raises(EditError, match="there are none"):
        editable(PictureNet, "head")(inputs(PictureNet, 2), {}, {"bn": torch.tensor(0.5)})
