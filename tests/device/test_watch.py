"""Sums of strains and the ladder: an alarm for what lasts, none for an outlier, and hysteresis both ways."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from persona.device.watch import ALARM, FIRST_CALM, LARGEST, MOST_CALM, OF_ANSWER, Ladder, Strain


def test_answers_at_the_limit_raise_the_alarm_in_the_fifth_and_one_outlier_does_not() -> None:
    strain = Strain(OF_ANSWER)
    assert [strain.add(1.0) for _ in range(5)] == [False, False, False, False, True]
    strain = Strain()
    assert not strain.add(1e9)
    assert strain.total == LARGEST < ALARM


def test_an_alarm_holds_until_the_sum_is_back_at_nothing() -> None:
    strain = Strain()
    for _ in range(3):
        strain.add(1.0)
    assert [strain.add(-1.0) for _ in range(3)] == [True, True, False]


@given(st.lists(st.floats(-1, 0), max_size=200))
def test_what_is_usual_never_adds_up(strains: list[float]) -> None:
    strain = Strain()
    assert not any(strain.add(value) for value in strains)


def test_honest_strains_raise_no_alarm_in_ten_thousand_windows() -> None:
    # A half-normal figure: three of four windows are usual, one of a hundred is beyond the most.
    figures = np.abs(np.random.default_rng(0).normal(size=10_000))
    usual, most = np.quantile(figures, [0.75, 0.99])
    ladder = Ladder()
    assert sum(ladder.falls_after(max((f - usual) / (most - usual), -1.0)) for f in figures) == 0


def test_a_climb_takes_calm_windows_in_a_row_and_more_after_each_fall() -> None:
    ladder = Ladder()
    waits = []
    for _ in range(7):
        while not ladder.falls_after(2.0):
            pass
        ladder.start()
        assert not ladder.climbs_after(-1.0)
        assert not ladder.climbs_after(0.5)  # accepted, but not usual: the count begins anew
        count = 1
        while not ladder.climbs_after(-1.0):
            count += 1
        waits.append(count)
    assert waits == [2, 4, 8, 16, 32, 32, 32]
    assert (waits[0], waits[-1]) == (FIRST_CALM, MOST_CALM)
    ladder.new_domain()
    assert [ladder.climbs_after(-1.0) for _ in range(2)] == [False, True]
