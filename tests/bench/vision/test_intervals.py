"""Paired comparisons: constant differences give points, noise gives intervals that a formula knows."""

from __future__ import annotations

import numpy as np
import pytest

from persona.bench.vision.intervals import (
    first_window_interval,
    kept_share,
    low_decile_interval,
    mean_interval,
    paired_interval,
)
from persona.bench.vision.summary import Cell, Floats
from persona.errors import DataError


def cell(values: Floats, stream: int = 11, trains: tuple[int, ...] = (0,)) -> Cell:
    """Return a cell of accuracies (T, D) over two windows alike, the second after a shift."""
    accuracy = np.repeat(np.asarray(values, np.float64)[:, :, None], 2, axis=2)
    n = accuracy.shape[1]
    return Cell(accuracy, np.tile([False, True], (n, 1)), trains, tuple((stream, at) for at in range(n)))


def noise(n: int = 200, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(50, 10, (1, n))


def test_ten_points_everywhere_are_ten_points() -> None:
    found = paired_interval(cell(noise() + 10), cell(noise()))
    assert (found.mean, found.low, found.high) == pytest.approx((10, 10, 10))
    assert found.seeds == pytest.approx((10,))
    assert str(found) == "+10.0 [+10.0, +10.0]"


def test_the_interval_is_that_of_the_normal_formula() -> None:
    ours, theirs = noise(seed=1), noise(seed=2)
    half = 1.96 * (ours - theirs).std() / np.sqrt(ours.size)
    found = paired_interval(cell(ours), cell(theirs))
    assert found.high - found.mean == pytest.approx(half, rel=0.1)
    assert found.mean - found.low == pytest.approx(half, rel=0.1)


def test_only_devices_and_seeds_of_both_are_compared() -> None:
    whole = cell(np.array([[50.0, 60, 70], [150, 160, 170]]), trains=(0, 1))
    part = Cell(whole.accuracy[:1, 1:] - 5, whole.first[1:], (0,), whole.devices[1:])
    assert paired_interval(whole, part).mean == pytest.approx(5)
    assert paired_interval(part, whole).mean == pytest.approx(-5)


@pytest.mark.parametrize("other", [cell(noise(3), stream=12), cell(noise(3), trains=(1,))])
def test_nothing_in_common_is_told(other: Cell) -> None:
    for compare in (paired_interval, low_decile_interval):
        with pytest.raises(DataError, match="share no device"):
            compare(cell(noise(3)), other)


def test_seeds_are_kept_apart() -> None:
    ours = cell(np.array([[50.0, 50], [56, 56]]), trains=(0, 1))
    assert paired_interval(ours, cell(np.full((2, 2), 50.0), trains=(0, 1))).seeds == pytest.approx((0, 6))


def test_a_mean_over_pairs_counts_each_pair_once() -> None:
    few, many = (cell(noise(2) + 8), cell(noise(2))), (cell(noise(50) + 2), cell(noise(50)))
    assert mean_interval([few, many])[:3] == pytest.approx((5, 5, 5))
    with pytest.raises(DataError, match="no pairs"):
        mean_interval([])


def test_first_windows_alone() -> None:
    late = cell(noise())
    late.accuracy[:, :, 1] -= 3
    assert first_window_interval(cell(noise()), late)[:3] == pytest.approx((3, 3, 3))


def test_the_tenth_percentile_by_run() -> None:
    ours = cell(np.linspace(0, 100, 11)[None] + 4)
    found = low_decile_interval(ours, cell(np.linspace(0, 100, 11)[None]))
    assert found[:3] == pytest.approx((4, 4, 4))


def test_the_share_of_a_gain() -> None:
    static = cell(noise())
    found = kept_share((cell(noise() + 8), static), (cell(noise() + 10), static))
    assert found == pytest.approx((80, 80, 80, 10))
    assert np.isnan(kept_share((static, static), (static, static)).percent)


def test_the_same_seed_gives_the_same_interval() -> None:
    ours, theirs = cell(noise(seed=1)), cell(noise(seed=2))
    assert paired_interval(ours, theirs) == paired_interval(ours, theirs)
    assert paired_interval(ours, theirs, 1) != paired_interval(ours, theirs, 0)
