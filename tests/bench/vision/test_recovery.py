"""Accuracy since a shift: profiles by hand."""

from __future__ import annotations

import numpy as np
import pytest

from persona.bench.vision.recovery import since_shift, windows_to_recover
from persona.bench.vision.summary import Cell

NAN = np.nan


def cell(accuracy: list[list[float]], first: list[list[int]]) -> Cell:
    return Cell(np.array([accuracy], float), np.array(first, bool), (0,), tuple((11, at) for at in range(len(first))))


def test_a_profile_is_the_mean_over_segments() -> None:
    one = cell([[70, 70, 10, 50, 20, 60]], [[0, 0, 1, 0, 1, 0]])
    assert since_shift(one).tolist() == [15, 55]
    assert since_shift(one, before=1).tolist() == [60, 15, 55]
    early = since_shift(one, before=3)  # the first segment has two windows before it alone
    assert early.tolist() == [70, 40, 60, 15, 55]


def test_devices_may_differ() -> None:
    two = cell([[90, 10, 20, 30], [90, 90, 50, NAN]], [[0, 1, 0, 0], [0, 0, 1, 0]])
    assert since_shift(two).tolist() == [30]


@pytest.mark.parametrize(
    ("segment", "windows"),
    [([70, 70, 70, 70], 0), ([40, 70, 70, 70], 1), ([40, 50, 70, 70], 2), ([68.5, 60, 70, 70], 0)],
)
def test_windows_to_recover(segment: list[float], windows: int) -> None:
    assert windows_to_recover(cell([[80, *segment]], [[0, 1, 0, 0, 0]])) == windows


@pytest.mark.parametrize("first", [[0, 0, 0], [0, 1, 1]])
def test_without_a_longer_segment_there_is_no_recovery(first: list[int]) -> None:
    assert np.isnan(windows_to_recover(cell([[80, 70, 60]], [first])))
