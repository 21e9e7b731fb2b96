"""Page–Hinkley against answers worked out by hand, and the learned detector against a world whose rule is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from persona.device import LearnedDetector, Observation, OnDrift, fit_detector
from persona.device.policies import PageHinkley
from persona.errors import DataError


def seen(windows: int, drift: float = 0.0, **more: float) -> Observation:
    return Observation(32, 32 * windows, False, False, math.inf, windows, drift, **more)


def test_page_hinkley_sums_what_exceeds_the_running_mean() -> None:
    # Values 1 1 1 3 3: means 1 1 1 1.5 1.8; increments −.25 −.25 −.25 1.25 .95; sums −.25 −.5 −.75 .5 1.45.
    # Above the lowest, −.75: 0 0 0 1.25 2.2.
    test = PageHinkley(tolerance=0.25, threshold=1.5, least=1)
    assert [test.update(v) for v in (1, 1, 1, 3, 3)] == [False, False, False, False, True]
    test = PageHinkley(tolerance=0.25, threshold=1.2, least=1)
    assert [test.update(v) for v in (1, 1, 1, 3)] == [False, False, False, True]
    test = PageHinkley(tolerance=0.25, threshold=1.2, least=5)
    assert [test.update(v) for v in (1, 1, 1, 3, 3)] == [False, False, False, False, True]


def test_page_hinkley_lets_a_level_stream_be() -> None:
    test = PageHinkley(tolerance=0.1, threshold=2.0)
    values = np.random.default_rng(0).normal(1.0, 0.1, size=5000)
    assert not any(test.update(float(v)) for v in values)


def test_a_gradual_drift_that_never_jumps_is_asked_about_once_until_it_is_answered() -> None:
    policy = OnDrift(PageHinkley(tolerance=0.02, threshold=0.5))
    asked = [policy.should_ask(seen(w, 0.1 * w)) for w in range(1, 12)]
    first = asked.index(True)
    assert 2 <= first <= 8
    assert all(asked[first:])  # until an answer comes
    assert not any(policy.should_ask(seen(w, 0.1)) for w in range(1, 12))  # after it, at rest
    assert policy.should_ask(Observation(32, 0, True, False, math.inf))
    assert policy.should_ask(Observation(32, 0, False, True, math.inf))


def test_the_same_window_counts_once() -> None:
    policy = OnDrift(PageHinkley(tolerance=0.0, threshold=0.1, least=1))
    policy.should_ask(seen(1, 0.0))
    assert not any(policy.should_ask(seen(1, 5.0)) for _ in range(10))
    assert policy.should_ask(seen(2, 5.0))


def recorded(count: int = 2000) -> tuple[list[Observation], np.ndarray]:
    """Whether a request is worth it depends on `moved` and the uncertainty, and on chance."""
    rng = np.random.default_rng(3)
    rows = [seen(int(w), d, moved=m, uncertainty=u) for w, d, m, u in
            zip(rng.integers(1, 9, count), *rng.random((3, count)), strict=True)]  # fmt: skip
    odds = np.array([6 * row.moved + 2 * row.uncertainty - 5 for row in rows])
    return rows, (rng.random(count) < 1 / (1 + np.exp(-odds))).astype(int)


def test_a_detector_finds_the_rule_and_keeps_to_its_budget() -> None:
    rows, worth = recorded()
    detector = fit_detector(rows, worth, budget=0.2)
    np.testing.assert_allclose(detector.weights, (0, 6, 2, 0), atol=0.8)
    asks = np.array([detector.should_ask(row) for row in rows])
    assert abs(asks.mean() - 0.2) <= 0.001
    # Far more of them are worth it than of a random fifth.
    assert worth[asks].mean() > worth.mean() + 0.3


def test_a_detector_asks_at_the_start_and_after_an_expiry() -> None:
    never = LearnedDetector((0.0, 0.0, 0.0, 0.0), 0.0, math.inf)
    assert never.should_ask(Observation(32, 0, True, False, math.inf))
    assert never.should_ask(Observation(32, 0, False, True, math.inf, windows=3))
    assert not never.should_ask(seen(3, 1.0))


@pytest.mark.parametrize(
    ("rows", "worth", "budget"),
    [
        ([], [], 0.5), ([seen(1)], [1, 0], 0.5), ([seen(1), seen(2)], [1, 1], 0.5), ([seen(1), seen(2)], [0, 2], 0.5),
        ([seen(1), seen(2)], [0, 1], 0.0), ([seen(1, math.nan), seen(2)], [0, 1], 0.5),
    ],
)  # fmt: skip
def test_records_that_teach_nothing_are_refused(rows: list[Observation], worth: list[int], budget: float) -> None:
    with pytest.raises(DataError, match="wanted"):
        fit_detector(rows, worth, budget)


@pytest.mark.parametrize("weights", [(math.nan, 0.0, 0.0, 0.0), (0.0,)])
def test_a_detector_of_no_numbers_is_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="wanted 4"):
        LearnedDetector(weights, 0.0, 0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("numbers", [(-1.0, 1.0, 1), (0.1, 0.0, 1), (0.1, 1.0, 0)])
def test_page_hinkley_of_no_sense_is_refused(numbers: tuple[float, float, int]) -> None:
    with pytest.raises(DataError, match="Page–Hinkley has"):
        PageHinkley(*numbers)
