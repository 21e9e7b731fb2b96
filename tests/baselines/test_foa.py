"""FOA: statistics by hand; the shift of a shifted world is found; no answer is less fit than the plain net's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from persona.baselines.foa import Foa
from persona.baselines.tapped import Tapped, discrepancy
from persona.errors import DataError, SpecError
from tests.baselines.peers import lived_in


class Channels(nn.Module):
    """Pictures of 4 channels, normalised, then a head on each channel's mean: (N, 4, 3, 3) → (N, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 2)
        with torch.no_grad():
            self.norm.running_mean.copy_(torch.tensor([0.0, 1.0, 2.0, 3.0]))
            self.norm.running_var.copy_(torch.tensor([1.0, 4.0, 1.0, 0.25]))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(x).mean(dim=(2, 3)))
        return logits


class Two(Channels):
    """The same with another normalisation before the head, so that the first layer's shift is its own affair."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.last(self.norm(x)).mean(dim=(2, 3)))
        return logits


def source_like(net: Channels, count: int, seed: int = 0) -> Tensor:
    noise = torch.randn(count, 4, 3, 3, generator=torch.Generator().manual_seed(seed))
    noise = (noise - noise.mean(dim=(0, 2, 3), keepdim=True)) / noise.std(dim=(0, 2, 3), correction=0, keepdim=True)
    spread, mean = net.norm.running_var.sqrt(), net.norm.running_mean
    return noise * spread[:, None, None] + mean[:, None, None]


def test_discrepancy_by_hand() -> None:
    source = [(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 2.0]))]
    found = [(torch.tensor([[0.0, 0.0], [3.0, 8.0]]), torch.tensor([[1.0, 2.0], [2.0, 4.0]]))]
    # Candidate 1: means 3 and 4 source spreads off, rms √12.5; spreads one off each, rms 1.
    torch.testing.assert_close(discrepancy(found, source), torch.tensor([0.0, 12.5**0.5 + 1]))


@torch.no_grad()
def test_candidates_run_as_if_alone() -> None:
    net = lived_in("bn")
    x = torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(2))
    shifts = torch.randn(3, 24, generator=torch.Generator().manual_seed(3))
    tapped = Tapped(net)
    together = tapped.run(x, shifts, None)
    moments = tapped.moments
    for number in range(3):
        alone = tapped.run(x, shifts[number : number + 1], None)[0]
        torch.testing.assert_close(together[number], alone, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(moments[2][0][number], tapped.moments[2][0][0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(tapped.run(x, torch.zeros(1, 24), None)[0], net.eval()(x), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_shift_is_counted_in_source_spreads() -> None:
    net = Channels().eval()
    x, shift = source_like(net, 8), torch.tensor([1.0, -1.0, 2.0, 0.0])
    moved = x + (shift * torch.tensor([1.0, 2.0, 1.0, 0.5]))[:, None, None]
    torch.testing.assert_close(Tapped(net).run(x, shift[None], None)[0], net(moved), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_back_to_source_undoes_a_shift_of_the_last_layer() -> None:
    net = Channels().eval()
    x = source_like(net, 8)
    shifted = x + torch.tensor([5.0, -4.0, 3.0, 2.0])[:, None, None]
    found = Tapped(net).run(shifted, torch.zeros(1, 4), lambda now: now)[0]
    torch.testing.assert_close(found, net(x), atol=1e-4, rtol=1e-4)


def test_the_search_finds_the_shift_of_the_world() -> None:
    net = Two().eval()
    known = torch.tensor([1.0, -2.0, 0.5, 1.5])  # in source spreads
    method = Foa(net, 0, population=16, discrepancy=20.0)
    for seed in range(60):
        x = source_like(net, 16, seed) + (known * torch.tensor([1.0, 2.0, 1.0, 0.5]))[:, None, None]
        method.step(x)
    torch.testing.assert_close(method._evolution.mean, -known, atol=0.25, rtol=0)


def test_the_answer_is_never_less_fit_than_the_unshifted_net() -> None:
    method = Foa(lived_in("bn"), 0, discrepancy=2.0)
    dice = torch.Generator().manual_seed(4)
    for scale in (1.0, 0.2, 3.0):
        logits = method.step(scale * torch.rand(8, 1, 28, 28, generator=dice))
        assert method.fitness is not None
        logs = logits.log_softmax(1)
        entropy = -(logs.exp() * logs).sum(1).mean()
        assert entropy < method.fitness.min() <= method.fitness[0]
        assert torch.isfinite(logits).all()


def test_before_the_first_window_the_net_answers_and_later_the_fittest_does() -> None:
    net = lived_in("bn").eval()
    x = torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(5))
    method = Foa(net, 0)
    torch.testing.assert_close(method.answer(x), net(x), atol=1e-5, rtol=1e-4)
    logits = method.step(x)
    for _ in range(2):
        torch.testing.assert_close(method.answer(x), logits, atol=1e-5, rtol=1e-4)


def test_without_batch_normalisation_source_pictures_are_needed() -> None:
    with pytest.raises(SpecError, match="give `source` pictures"):
        Foa(lived_in("gn"), 0)
    x = torch.rand(16, 1, 28, 28, generator=torch.Generator().manual_seed(6))
    method = Foa(lived_in("gn"), 0, source=x)
    assert [len(mean) for mean, _ in method._tapped.source] == [24, 48, 64]
    assert torch.isfinite(method.step(x)).all()


@pytest.mark.parametrize("x", [torch.zeros(1, 1, 28, 28), torch.ones(4, 1, 28, 28)], ids=["one black", "all white"])
def test_constant_windows_are_answered(x: Tensor) -> None:
    method = Foa(lived_in("bn"), 0)
    assert torch.isfinite(method.step(x)).all()
    assert torch.isfinite(method.answer(torch.rand(3, 1, 28, 28))).all()


def test_a_bad_window_leaves_no_trace() -> None:
    x = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(7))
    method, other = Foa(lived_in("bn"), 3), Foa(lived_in("bn"), 3)
    with pytest.raises(DataError):
        method.step(x * torch.nan)
    assert torch.equal(method.answer(x), other.answer(x))
    assert torch.equal(method.step(x), other.step(x))


def test_a_population_too_small_is_refused() -> None:
    with pytest.raises(SpecError, match="population is 3"):
        Foa(lived_in("bn"), 0, population=3)
