"""Own statistics settled into an edit: what ran under them runs the same without, and so does what comes later."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from persona.model.renorm import Renorm
from persona.training.centres import Centres
from persona.training.evaluate import EPISODES_AT_ONCE, edits_of
from persona.training.step import Learner
from tests.adapters.building import PICTURE, adapter_for, backbone_model, trained

DEVICES, SAMPLES = 3, 6


def learner(backbone: str = "cnn-bn") -> Learner:
    """Return a learner with edits, lived-in norms, and another share in every layer."""
    model = backbone_model(backbone)
    dice = torch.Generator().manual_seed(0)
    model.train()
    with torch.no_grad():
        for _ in range(20):
            model(torch.rand(16, *PICTURE, generator=dice))
        for name, value in model.named_parameters():
            if "norm" in name:
                value.add_(0.2 * torch.randn(value.shape, generator=dice))
    model.eval()
    renorm = Renorm(model)
    with torch.no_grad():
        renorm.logits.copy_(torch.linspace(-1.0, 2.0, len(renorm.logits)))
    width = model.n_features
    adapter = trained(adapter_for(model)).eval()
    return Learner(model, adapter, torch.zeros(width), torch.ones(width), Centres(2), renorm=renorm)


def windows(count: int = DEVICES) -> Tensor:
    """Return (B, S, 1, 12, 12): devices of another light and another contrast each."""
    dice = torch.Generator().manual_seed(1)
    light, contrast = torch.rand(2, count, 1, 1, 1, 1, generator=dice)
    return light + (0.2 + contrast) * torch.rand(count, SAMPLES, *PICTURE, generator=dice)


def edits(made: Learner, x: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        return made.learned(made.see(x).codes)


def mix(share: Tensor, norm: nn.BatchNorm2d, inputs: tuple[Any, ...]) -> None:
    """Mix the statistics of a layer's input into those that it keeps, before it runs."""
    (x,) = inputs
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.lerp_(x.mean(dim=(0, 2, 3)), share)
    norm.running_var.lerp_(x.var(dim=(0, 2, 3), correction=0), share)


def alone(made: Learner, deltas: dict[str, Tensor], device: int, own: Tensor) -> tuple[nn.Module, Tensor]:
    """Return one device's edited copy of the net, its statistics mixed layer by layer as `own` ran, and that run."""
    assert made.renorm is not None
    net = copy.deepcopy(made.model.module)
    for name, delta in deltas.items():
        net.get_parameter(name).add_(delta[device])
    hooks = [
        net.get_submodule(name).register_forward_pre_hook(partial(mix, share))
        for name, share in made.renorm.shares().items()
    ]
    logits: Tensor = net(own)
    for hook in hooks:
        hook.remove()
    return net, logits


@torch.no_grad()
def test_a_run_is_each_devices_own_net_with_statistics_mixed_layer_by_layer() -> None:
    made, x = learner(), windows()
    deltas = edits(made, x)
    assert made.renorm is not None
    assert len(made.renorm.shares()) > 2
    found = made.run(x.flatten(0, 1), deltas).logits.unflatten(0, (DEVICES, SAMPLES))
    for device, own in enumerate(x):
        torch.testing.assert_close(found[device], alone(made, deltas, device, own)[1], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_under_the_settled_edit_the_same_window_runs_the_same() -> None:
    made, x = learner(), windows()
    deltas = edits(made, x)
    flat = x.flatten(0, 1)
    output = made.run(flat, deltas)
    settled = made.settle(output.moments, deltas, DEVICES)
    again = made.model(flat, settled)
    torch.testing.assert_close(again.logits, output.logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(again.moments, output.moments, atol=1e-4, rtol=1e-3)
    for other in (made.model(flat, deltas), made.run(flat, {}), made.run(flat, settled)):
        assert (other.logits - output.logits).abs().max() > 1e-2, "neither part, nor twice the same, is as good"


@torch.no_grad()
def test_under_the_settled_edit_later_samples_run_under_the_windows_statistics() -> None:
    made, x = learner(), windows()
    deltas = edits(made, x)
    settled = made.settle(made.run(x.flatten(0, 1), deltas).moments, deltas, DEVICES)
    later = windows(DEVICES + 1)[-1, :1].expand(DEVICES, *PICTURE)  # the same single sample for everybody
    found = made.model(later, settled).logits
    for device, own in enumerate(x):
        net, _ = alone(made, deltas, device, own)
        torch.testing.assert_close(found[device], net(later[:1])[0], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_without_an_edit_one_device_settles_too() -> None:
    made, x = learner(), windows(1)[0]
    output = made.run(x, {})
    settled = made.settle(output.moments, {}, 1)
    assert set(settled) == {f"norm{n}.{part}" for n in range(1, 4) for part in ("weight", "bias")}
    torch.testing.assert_close(made.model(x, settled).logits, output.logits, atol=1e-4, rtol=0)


@torch.no_grad()
def test_devices_are_independent() -> None:
    made, x = learner(), windows()
    deltas = edits(made, x)
    together = made.settle(made.run(x.flatten(0, 1), deltas).moments, deltas, DEVICES)
    for device, own in enumerate(x):
        mine = {name: delta[device : device + 1] for name, delta in deltas.items()}
        single = made.settle(made.run(own, mine).moments, mine, 1)
        for name, delta in single.items():
            torch.testing.assert_close(delta[0], together[name][device], atol=1e-5, rtol=1e-5)
    strange = x.clone()
    strange[1] = 50.0
    beside = made.run(strange.flatten(0, 1), deltas).logits.unflatten(0, (DEVICES, SAMPLES))
    before = made.run(x.flatten(0, 1), deltas).logits.unflatten(0, (DEVICES, SAMPLES))
    assert torch.equal(beside[::2], before[::2])


def test_a_gradient_reaches_the_shares_and_what_is_settled() -> None:
    made, x = learner(), windows()
    assert made.renorm is not None
    deltas = made.learned(made.see(x).codes)
    output = made.run(x.flatten(0, 1), deltas)
    in_pass = torch.autograd.grad(output.logits.square().sum(), made.renorm.logits, retain_graph=True)[0]
    settled = made.settle(output.moments, deltas, DEVICES)
    after = torch.autograd.grad(made.model(x.flatten(0, 1), settled).logits.square().sum(), made.renorm.logits)[0]
    assert (in_pass.abs() > 1e-4).all()
    torch.testing.assert_close(after, in_pass, atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_pictures_stay_finite(value: float) -> None:
    made = learner()
    assert made.renorm is not None
    with torch.no_grad():
        made.renorm.logits.fill_(100.0)
    x = torch.full((DEVICES * SAMPLES, *PICTURE), value)
    deltas = edits(made, x.unflatten(0, (DEVICES, SAMPLES)))
    output = made.run(x, deltas)
    settled = made.settle(output.moments, deltas, DEVICES)
    assert output.logits.isfinite().all()
    assert all(delta.isfinite().all() for delta in settled.values())
    later = made.model(x, settled).logits
    torch.testing.assert_close(later, output.logits, atol=2e-3, rtol=1e-3)
    (output.logits.sum() + later.sum()).backward()
    assert made.renorm.logits.grad is not None
    assert made.renorm.logits.grad.isfinite().all()


@torch.no_grad()
def test_a_learner_without_own_statistics_runs_and_settles_as_it_is() -> None:
    made, x = replace(learner(), renorm=None), windows()
    deltas, flat = edits(made, x), windows().flatten(0, 1)
    output = made.run(flat, deltas)
    assert torch.equal(output.logits, made.model(flat, deltas).logits)
    settled = made.settle(output.moments, deltas, DEVICES)
    assert settled.keys() == deltas.keys()
    assert all(settled[name] is delta for name, delta in deltas.items())


@torch.no_grad()
def test_edits_of_many_windows_are_those_of_each() -> None:
    made, x = learner(), windows(EPISODES_AT_ONCE + 2)
    found = edits_of(made, x)
    for at in (0, EPISODES_AT_ONCE - 1, EPISODES_AT_ONCE + 1):
        learned = edits(made, x[at : at + 1])
        wanted = made.settle(made.run(x[at], learned).moments, learned, 1)
        assert found.keys() == wanted.keys()
        for name, delta in wanted.items():
            torch.testing.assert_close(found[name][at], delta[0], atol=1e-5, rtol=1e-4)
