"""The evolution strategy: it finds the least of bowls, round and long, and repeats itself by seed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from persona.baselines.evolution import Evolution


def bowl(draws: Tensor, centre: Tensor, stretch: Tensor) -> Tensor:
    return (stretch * (draws - centre).square()).sum(dim=1)


@pytest.mark.parametrize("longest", [1.0, 100.0])
def test_the_least_of_a_bowl_is_found(longest: float) -> None:
    centre, stretch = torch.linspace(-2, 2, 10), torch.logspace(0, torch.tensor(longest).log10().item(), 10)
    search = Evolution(torch.zeros(10), 0.3, 12, seed=0)
    for _ in range(250):
        draws = search.ask()
        search.tell(draws, bowl(draws, centre, stretch))
    torch.testing.assert_close(search.mean, centre, atol=0.01, rtol=0)
    assert search.spread < 0.01


def test_the_first_step_is_the_weighted_mean_of_the_better_half() -> None:
    search = Evolution(torch.zeros(3), 0.5, 4, seed=1)
    draws = search.ask()
    search.tell(draws, torch.tensor([3.0, 1.0, 4.0, 2.0]))
    # ln 2.5 − ln 1 and ln 2.5 − ln 2, scaled to a sum of one.
    first, second = torch.log(torch.tensor(2.5)), torch.log(torch.tensor(1.25))
    torch.testing.assert_close(search.mean, (first * draws[1] + second * draws[3]) / (first + second))


def test_draws_repeat_by_seed_alone() -> None:
    one, same, other = (Evolution(torch.zeros(5), 0.1, 6, seed).ask() for seed in (7, 7, 8))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_flat_world_moves_nothing_beyond_bounds() -> None:
    search = Evolution(torch.zeros(4), 0.1, 8, seed=0)
    for _ in range(300):
        search.tell(search.ask(), torch.zeros(8))
    assert torch.isfinite(search.mean).all()
    assert 1e-6 <= search.spread <= 1e3
