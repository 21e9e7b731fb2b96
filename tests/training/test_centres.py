"""Prototype centres that follow the codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from persona.errors import TrainingError
from persona.training.centres import Centres


def codes(*rows: tuple[float, float]) -> Tensor:
    """Return codes (B, 1, 2)."""
    return torch.tensor(rows, dtype=torch.float32)[:, None]


def seeded(*rows: tuple[float, float], rate: float = 0.25) -> Centres:
    centres = Centres(len(rows), rate)
    centres.update(codes(*rows))
    return centres


def test_centres_are_seeded_from_the_first_codes_and_never_more_than_asked_for() -> None:
    centres = Centres(3)
    centres.update(codes((0, 0), (1, 1)))
    centres.update(codes((2, 2), (3, 3)))
    assert centres.values is not None
    assert torch.equal(centres.values, codes((0, 0), (1, 1), (2, 2)))
    many = Centres(2)
    many.update(codes((0, 0), (1, 1), (2, 2)))
    assert many.values is not None
    assert torch.equal(many.values, codes((0, 0), (1, 1)))


def test_a_centre_moves_towards_the_mean_of_its_own_codes() -> None:
    centres = seeded((0, 0), (10, 0), (50, 50))
    centres.update(codes((1, 0), (3, 0), (10, 4)))
    assert centres.values is not None
    torch.testing.assert_close(centres.values, codes((0.5, 0), (10, 1), (50, 50)))


def test_centres_are_no_part_of_the_codes_they_were_seeded_from() -> None:
    first = codes((0, 0), (9, 9))
    centres = Centres(2)
    centres.update(first)
    centres.update(codes((1, 1), (8, 8)))
    assert torch.equal(first, codes((0, 0), (9, 9)))


def test_the_nearest_centre_is_found_over_all_rows_of_a_code() -> None:
    centres = Centres(2)
    centres.update(torch.tensor([[[0.0, 0], [0, 0]], [[1.0, 0], [9, 0]]]))
    assert centres.nearest(torch.tensor([[[1.0, 0], [1, 0]], [[0.0, 0], [8, 0]]])).tolist() == [0, 1]


def test_replaced_codes_are_centres_and_pass_the_gradient_straight_through() -> None:
    centres, own = seeded((0, 0), (10, 0)), codes((1, 1), (9, 1)).requires_grad_()
    used = centres.replace_some(own, 1.0, np.random.default_rng(0))
    torch.testing.assert_close(used, codes((0, 0), (10, 0)))
    weights = codes((2, 3), (5, 7))
    (used * weights).sum().backward()
    assert own.grad is not None
    assert torch.equal(own.grad, weights)


def test_about_the_share_asked_for_is_replaced() -> None:
    centres, own = seeded((0, 0), (10, 0)), torch.ones(2000, 1, 2)
    used = centres.replace_some(own, 0.2, np.random.default_rng(0))
    assert 0.16 < float((used != own).any(dim=2).float().mean()) < 0.24


def test_nothing_is_replaced_before_there_are_centres_enough_or_without_a_share() -> None:
    rng, own = np.random.default_rng(0), codes((1, 1))
    young = Centres(3)
    assert young.replace_some(own, 1.0, rng) is own
    young.update(codes((0, 0), (5, 5)))
    assert young.replace_some(own, 1.0, rng) is own
    assert seeded((0, 0)).replace_some(own, 0.0, rng) is own


def test_centres_without_codes_and_codes_without_centres_are_refused() -> None:
    with pytest.raises(ValueError, match="no codes yet; call update first"):
        Centres(2).nearest(codes((0, 0)))
    with pytest.raises(TrainingError, match="0 prototypes cannot stand for anything"):
        Centres(0)
