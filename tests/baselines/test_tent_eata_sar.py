"""TENT, EATA and SAR against steps that are worked out by other means."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from persona.baselines.eata import Eata
from persona.baselines.sar import Sar
from persona.baselines.tent import Tent
from persona.errors import SpecError
from tests.baselines.peers import lived_in, parameters_behind, pixels, plain_net, window
from tests.nets import PlainNet

BAR = 0.4 * math.log(4)


def entropies(logits: Tensor) -> Tensor:
    return torch.distributions.Categorical(logits=logits).entropy()


def mixed() -> Tensor:
    """Return pixels (16, 4, 1, 1) which a sharp `plain_net` is sure of in part."""
    return pixels(16, 5)


@pytest.mark.parametrize("kind", ["bn", "gn"])
def test_tent_is_adam_on_the_mean_entropy_of_the_norms(kind: str) -> None:
    method, net = Tent(lived_in(kind), 0, rate=0.01), lived_in(kind).train()
    norms = [p for name, p in net.named_parameters() if "norm" in name]
    optimizer = torch.optim.Adam(norms, lr=0.01)
    for seed in range(3):
        logits = net(window(16, seed))
        torch.testing.assert_close(method.step(window(16, seed)), logits.detach(), rtol=1e-3, atol=1e-4)
        optimizer.zero_grad()
        entropies(logits).mean().backward()
        optimizer.step()


def test_tent_becomes_surer() -> None:
    method, x = Tent(lived_in("bn"), 0, rate=0.01), window()
    first, *_, last = (entropies(method.step(x)).mean() for _ in range(20))
    assert last < 0.8 * first


def test_eata_weighs_reliable_samples_and_leaves_the_redundant_out() -> None:
    method, net, x = Eata(plain_net(3), 0, rate=0.1, similarity=0.6), plain_net(3), mixed()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    average, counted = None, []
    for seed in range(3):
        shown = x.roll(seed, dims=1)
        logits = net(shown)
        each, predictions = entropies(logits), logits.detach().softmax(1)
        counts = each.detach() < BAR
        if average is not None:
            lengths = predictions.norm(dim=1) * average.norm()
            counts &= predictions @ average / lengths < 0.6
        mean = predictions.mean(0)
        average = mean if average is None else 0.9 * average + 0.1 * mean
        optimizer.zero_grad()
        (torch.exp(BAR - each.detach()) * each)[counts].mean().backward()
        optimizer.step()
        counted.append(int(counts.sum()))
        torch.testing.assert_close(method.step(shown), logits.detach())
    torch.testing.assert_close(method.answer(x), net(x).detach())
    assert 0 < counted[1] < counted[0] < len(x)


def test_eata_learns_nothing_from_samples_it_is_not_sure_of() -> None:
    method, x = Eata(plain_net(0.1), 0, rate=1.0), pixels()
    before = method.answer(x)
    assert bool((entropies(before) > BAR).all())
    for _ in range(3):
        assert torch.equal(method.step(x), before)


def by_hand(x: Tensor, rate: float, radius: float, steps: int) -> list[Tensor]:
    """Return scale and shift after sharpness-aware steps of SGD with momentum 0.9, written out."""
    here = [p.detach().clone() for p in plain_net(3).parameters()]
    speed = [torch.zeros(4), torch.zeros(4)]
    for _ in range(steps):
        first, reliable = slope(here, x, torch.ones(len(x), dtype=torch.bool))
        length = math.sqrt(sum(float((g**2).sum()) for g in first))
        there = [p + radius * g / length for p, g in zip(here, first, strict=True)]
        second, _ = slope(there, x, reliable)
        speed = [0.9 * v + g for v, g in zip(speed, second, strict=True)]
        here = [p - rate * v for p, v in zip(here, speed, strict=True)]
    return here


def slope(here: list[Tensor], x: Tensor, among: Tensor) -> tuple[list[Tensor], Tensor]:
    scale, shift = (p.clone().requires_grad_() for p in here)
    each = entropies(nn.functional.layer_norm(x.flatten(1), (4,), scale, shift))
    counts = (each.detach() < BAR) & among
    return list(torch.autograd.grad(each[counts].mean(), (scale, shift))), counts


@pytest.mark.parametrize("radius", [0.05, 0.5, 2.0])  # the largest makes others reliable there
def test_sar_steps_along_the_gradient_of_a_worse_place(radius: float) -> None:
    method, x = Sar(plain_net(3), 0, rate=0.1, collapse=0.0, radius=radius), mixed()
    for _ in range(3):
        method.step(x)
    found = parameters_behind(method.answer(x), x)
    for value, expected in zip(found, by_hand(x, 0.1, radius, 3), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-4)


def test_sar_recovers_from_collapse() -> None:
    x = mixed()
    calm, strict = (Sar(plain_net(3), 0, rate=0.5, collapse=collapse) for collapse in (0.0, 10.0))
    source = calm.answer(x)
    for _ in range(3):
        calm.step(x)
        assert torch.equal(strict.step(x), source)
    assert (calm.answer(x) - source).abs().max() > 0.1
    assert torch.equal(strict.answer(x), source)


def test_sar_learns_nothing_from_samples_it_is_not_sure_of() -> None:
    method, x = Sar(plain_net(0.1), 0, rate=1.0), pixels()
    before = method.answer(x)
    assert torch.equal(method.step(x), before)
    assert torch.equal(method.answer(x), before)


@pytest.mark.parametrize("kind", [Tent, Eata, Sar])
def test_a_net_without_norms_and_settings_out_of_range_are_told(kind: type[Tent] | type[Eata] | type[Sar]) -> None:
    with pytest.raises(SpecError, match="no normalisation layer"):
        kind(PlainNet(), 0)
    with pytest.raises(SpecError, match=r"rate of .* is -1; it must be a finite number, 0 or more"):
        kind(plain_net(), 0, rate=-1)
