"""The contract of every layer kind: one device's weights decide that device's outputs, and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from persona.errors import EditError
from persona.model.layers import EDITABLE
from persona.model.patterns import make_editable

DEVICES, SAMPLES = 3, 4

# A layer of a kind and the shape of one input sample.
CASES: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear": (nn.Linear(5, 6), (5,)),
    "linear-without-bias": (nn.Linear(5, 6, bias=False), (5,)),
    "linear-on-sequences": (nn.Linear(5, 6), (7, 5)),
    "linear-on-grids": (nn.Linear(5, 6), (2, 3, 5)),
    "conv": (nn.Conv2d(4, 6, 3), (4, 7, 8)),
    "conv-without-bias": (nn.Conv2d(4, 6, 1, bias=False), (4, 5, 5)),
    "conv-strided": (nn.Conv2d(4, 6, 5, stride=2, padding=2), (4, 9, 8)),
    "conv-grouped": (nn.Conv2d(4, 6, 3, groups=2, padding=(1, 0)), (4, 6, 7)),
    "conv-depthwise": (nn.Conv2d(4, 8, 3, groups=4, bias=False), (4, 6, 6)),
    "conv-dilated": (nn.Conv2d(4, 6, 3, dilation=2, padding="same"), (4, 8, 8)),
    "conv-valid": (nn.Conv2d(4, 6, 3, padding="valid"), (4, 8, 8)),
    "conv-reflect": (nn.Conv2d(4, 6, 3, padding=2, padding_mode="reflect"), (4, 6, 6)),
    "conv-circular": (nn.Conv2d(4, 6, 3, padding=(1, 2), padding_mode="circular", groups=2), (4, 6, 6)),
    "conv-replicate-same": (nn.Conv2d(4, 6, (2, 3), padding="same", padding_mode="replicate"), (4, 6, 6)),
    "batch-norm": (nn.BatchNorm2d(6), (6, 4, 4)),
    "group-norm": (nn.GroupNorm(3, 6), (6, 4, 4)),
    "group-norm-on-vectors": (nn.GroupNorm(2, 6), (6,)),
    "layer-norm": (nn.LayerNorm(6), (6,)),
    "layer-norm-on-sequences": (nn.LayerNorm(6), (5, 6)),
    "layer-norm-without-bias": (nn.LayerNorm(6, bias=False), (5, 6)),
    "layer-norm-over-two-axes": (nn.LayerNorm((5, 6)), (3, 5, 6)),
}
# Each case with all of its tensors per device, and with each tensor alone.
EDITS = [
    pytest.param(name, edited, id=f"{name}:{'+'.join(edited)}")
    for name, (layer, _) in CASES.items()
    for names in [tuple(key for key, _ in layer.named_parameters())]
    for edited in dict.fromkeys([names, *((key,) for key in names)])
]


def lived_in(name: str) -> nn.Module:
    """Return a plain layer with random parameters and running statistics, in evaluation mode."""
    layer = copy.deepcopy(CASES[name][0])
    dice = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for key, value in layer.state_dict().items():
            if value.is_floating_point():
                random = torch.randn(value.shape, generator=dice)
                value.copy_(random.abs() + 0.5 if key == "running_var" else random)
    return layer.eval()


def made_editable(layer: nn.Module) -> nn.Module:
    holder = nn.ModuleDict({"layer": copy.deepcopy(layer)})
    make_editable(holder, {"layer": ""})
    return holder["layer"]


def batch(name: str, seed: int = 4) -> Tensor:
    return torch.randn(DEVICES * SAMPLES, *CASES[name][1], generator=torch.Generator().manual_seed(seed))


def weights_per_device(layer: nn.Module, edited: tuple[str, ...]) -> dict[str, Tensor]:
    dice = torch.Generator().manual_seed(5)
    return {
        name: value.detach() + torch.randn(DEVICES, *value.shape, generator=dice)
        for name, value in layer.named_parameters()
        if name in edited
    }


def run(layer: nn.Module, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    out: Tensor = functional_call(layer, dict(weights), (x,))
    return out


def test_every_kind_that_can_be_edited_is_held_to_the_contract() -> None:
    assert {type(layer) for layer, _ in CASES.values()} == set(EDITABLE)


@pytest.mark.parametrize("name", CASES)
def test_without_an_edit_the_layer_is_torchs(name: str) -> None:
    layer, x = lived_in(name), batch(name)
    ours = made_editable(layer)
    assert type(ours) is EDITABLE[type(layer)][0]
    assert ours.state_dict().keys() == layer.state_dict().keys()
    assert torch.equal(ours(x), layer(x))


@pytest.mark.parametrize(("name", "edited"), EDITS)
def test_each_device_gets_what_it_would_get_alone(name: str, edited: tuple[str, ...]) -> None:
    layer, x = lived_in(name), batch(name)
    weights = weights_per_device(layer, edited)
    together = run(made_editable(layer), weights, x)
    for device, own in enumerate(x.chunk(DEVICES)):
        alone = run(layer, {key: value[device] for key, value in weights.items()}, own)
        found = together[device * SAMPLES : (device + 1) * SAMPLES]
        torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "edited"), EDITS)
def test_another_devices_edit_changes_no_bit(name: str, edited: tuple[str, ...]) -> None:
    layer, x = lived_in(name), batch(name)
    ours, weights = made_editable(layer), weights_per_device(layer, edited)
    before = run(ours, weights, x)
    for value in weights.values():
        value[1] = 7.0
    after = run(ours, weights, x)
    assert not torch.equal(after[SAMPLES : 2 * SAMPLES], before[SAMPLES : 2 * SAMPLES])
    assert torch.equal(after[:SAMPLES], before[:SAMPLES])
    assert torch.equal(after[2 * SAMPLES :], before[2 * SAMPLES :])


@pytest.mark.parametrize(("name", "edited"), EDITS)
def test_the_gradient_of_a_devices_weights_comes_from_its_own_samples(name: str, edited: tuple[str, ...]) -> None:
    layer, x = lived_in(name), batch(name)
    weights = {key: value.requires_grad_() for key, value in weights_per_device(layer, edited).items()}
    run(made_editable(layer), weights, x)[:SAMPLES].square().sum().backward()
    for value in weights.values():
        assert value.grad is not None
        assert value.grad[0].abs().max() > 0
        assert value.grad[1:].abs().max() == 0


@pytest.mark.parametrize("name", CASES)
def test_a_batch_that_does_not_divide_is_refused(name: str) -> None:
    layer = lived_in(name)
    with pytest.raises(EditError, match="11 samples does not divide over 3 edits"):
        run(made_editable(layer), weights_per_device(layer, ("weight",)), batch(name)[:-1])


def test_a_weight_and_a_bias_of_different_numbers_of_devices_are_refused() -> None:
    layer = lived_in("linear")
    weights = {"weight": torch.zeros(2, 6, 5), "bias": torch.zeros(3, 6)}
    with pytest.raises(EditError, match="weights are of 2 devices and biases of 3"):
        run(made_editable(layer), weights, batch("linear"))


@pytest.mark.parametrize(
    "layer",
    [nn.BatchNorm2d(6), nn.BatchNorm2d(6, momentum=None), nn.BatchNorm2d(6, track_running_stats=False)],
    ids=["momentum", "plain-mean", "no-statistics"],
)
def test_batch_norm_in_training_keeps_statistics_as_torch_does(layer: nn.BatchNorm2d) -> None:
    ours, x = made_editable(layer), batch("batch-norm")
    weights = weights_per_device(layer, ("weight", "bias"))
    for part in (x, 3 * x + 1):
        plain = layer(part).unflatten(0, (DEVICES, SAMPLES))  # weight 1, bias 0
        wanted = plain * weights["weight"][:, None, :, None, None] + weights["bias"][:, None, :, None, None]
        torch.testing.assert_close(run(ours, weights, part), wanted.flatten(0, 1), atol=1e-5, rtol=1e-5)
    for name, value in layer.named_buffers():
        assert torch.equal(dict(ours.named_buffers())[name], value), name


def test_batch_norm_in_training_leaves_the_other_devices_alone() -> None:
    layer, x = nn.BatchNorm2d(6), batch("batch-norm")
    weights = weights_per_device(layer, ("weight", "bias"))
    before = run(made_editable(layer), weights, x)
    weights["weight"][1] = 7.0
    after = run(made_editable(layer), weights, x)
    assert torch.equal(after[:SAMPLES], before[:SAMPLES])
    assert torch.equal(after[2 * SAMPLES :], before[2 * SAMPLES :])


def test_batch_norm_whose_statistics_are_switched_off_late_leaves_them_be() -> None:
    layer = lived_in("batch-norm").train()
    ours = made_editable(layer)
    ours.track_running_stats = False
    run(ours, weights_per_device(layer, ("weight",)), batch("batch-norm"))
    assert all(torch.equal(dict(ours.named_buffers())[name], value) for name, value in layer.named_buffers())


def test_pictures_may_lie_channels_last() -> None:
    layer, x = lived_in("conv-strided"), batch("conv-strided")
    ours, weights = made_editable(layer), weights_per_device(layer, ("weight", "bias"))
    wanted = run(ours, weights, x)
    torch.testing.assert_close(run(ours, weights, x.to(memory_format=torch.channels_last)), wanted)


def test_layers_compute_in_the_precision_of_their_weights() -> None:
    for name in CASES:
        layer = lived_in(name).double()
        weights = weights_per_device(layer, ("weight",))
        assert run(made_editable(layer), weights, batch(name).double()).dtype == torch.float64, name


@pytest.mark.parametrize("edited", [("weight",), ("bias",), ("weight", "bias")])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_folded_batch_norm_is_torchs_own_with_each_devices_scale_and_shift(
    edited: tuple[str, ...], offset: float
) -> None:
    """In evaluation mode statistics, scale and shift go into one pass, whose rounding grows with the mean."""
    layer = lived_in("batch-norm")
    assert isinstance(layer, nn.BatchNorm2d)
    layer.running_mean.add_(offset)  # type: ignore[union-attr]
    x, weights = batch("batch-norm") + offset, weights_per_device(layer, edited)
    found = run(made_editable(layer), weights, x)
    for device, own in enumerate(x.double().chunk(DEVICES)):
        oracle = copy.deepcopy(layer).double()
        with torch.no_grad():
            for name, value in weights.items():
                oracle.get_parameter(name).copy_(value[device])
        part = found[device * SAMPLES : (device + 1) * SAMPLES]
        torch.testing.assert_close(part, oracle(own).float(), atol=1e-5 * (1 + offset), rtol=1e-5)
