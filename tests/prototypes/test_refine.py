"""Refinement: forgetting by hand, merging in any order, no jump, and no refresh that loses."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from persona.errors import DataError, SpecError, WireError
from persona.prototypes.refine import ForgettingStatistics, mean_residual, rebase, refresh, refresh_or_keep
from tests.prototypes.worlds import METRICS, bank_of, code_arrays, line

ANY_CODES = arrays(np.float32, (4, 1, 2), elements=st.floats(-100, 100, width=32))


def parts(statistics: ForgettingStatistics) -> list[Any]:
    return [statistics.sums.count, statistics.sums.total, statistics.sums.squares]


def test_forgetting_by_hand() -> None:
    """Two codes at time 0 and one at time 10, half-life 10: weights ½, ½ and 1."""
    bank = bank_of(line(0, 8))
    early = ForgettingStatistics.of(line(1, 9), bank, 0, 10)
    both = early.merge(ForgettingStatistics.of(line(7), bank, 10, 10))
    assert both.at == 10
    assert both.sums.count.tolist() == [0.5, 1.5]
    assert both.sums.total[:, 0].tolist() == [0.5, 11.5]
    assert both.sums.squares.tolist() == [0.5, 40.5 + 49]
    assert early.decayed(0.25).sums.count.tolist() == [0.25, 0.25]


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[ForgettingStatistics], list[ForgettingStatistics]]:
    """Draw statistics of several batches at several times, and the same in another order."""
    bank = bank_of(line(-1, 0, 2), draw(METRICS))
    times = draw(st.lists(st.integers(0, 400), min_size=1, max_size=5))
    batches = [ForgettingStatistics.of(draw(code_arrays(0, 4)), bank, at, 32.0) for at in times]
    return batches, draw(st.permutations(batches))


@given(streams())
def test_the_order_of_merging_does_not_matter(drawn: Any) -> None:
    batches, shuffled = drawn
    first = reduce(ForgettingStatistics.merge, batches)
    second = reduce(lambda a, b: b.merge(a), shuffled)
    assert first.at == second.at
    for a, b in zip(parts(first), parts(second), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_no_codes_are_neutral() -> None:
    bank = bank_of(line(0, 8))
    some, none = (ForgettingStatistics.of(codes, bank, 5, 10) for codes in (line(1, 9), line(1)[:0]))
    for a, b in zip(parts(some.merge(none)), parts(some), strict=True):
        assert a.tolist() == b.tolist()


def test_old_codes_give_way_to_new_ones() -> None:
    bank = bank_of(line(0, 100))
    old = ForgettingStatistics.of(line(*[-4.0] * 50), bank, 0, 10)
    new = old.merge(ForgettingStatistics.of(line(*[4.0] * 50), bank, 200, 10))
    assert refresh(bank, new).codes[0, 0, 0] == pytest.approx(4, abs=1e-3)


def test_a_refresh_is_a_new_version_and_leaves_the_old_one() -> None:
    bank = bank_of(line(0, 8), version=4)
    statistics = ForgettingStatistics.of(line(1, 3, 9), bank, 0, 10)
    new = refresh(bank, statistics, rate=0.5)
    assert (new.version, new.codes[:, 0, 0].tolist(), new.counts.tolist()) == (5, [1, 8.5], [2, 1])
    assert (bank.version, bank.codes[:, 0, 0].tolist(), bank.counts.tolist()) == (4, [0, 8], [1, 1])


def test_dead_prototypes_stay_or_wake_where_codes_are_many() -> None:
    bank, codes = bank_of(line(0, 50)), line(-2, -2, -2, 2)
    statistics = ForgettingStatistics.of(codes, bank, 0, 10)
    assert refresh(bank, statistics).codes[:, 0, 0].tolist() == [-1, 50]
    woken = refresh(bank, statistics, recent=codes)
    assert sorted(woken.codes[:, 0, 0].tolist()) == [-2, 2]
    assert woken.counts.sum() == 4
    assert mean_residual(woken, codes) == 0


@given(ANY_CODES, ANY_CODES, st.integers(0, 3), st.one_of(st.none(), ANY_CODES), METRICS)
def test_no_jump(before: Any, after: Any, prototype: int, residuals: Any, metric: Any) -> None:
    old, new = bank_of(before, metric), bank_of(after, metric, 2)
    residual = None if residuals is None else residuals[0]
    k, rest = rebase(old, new, prototype, residual)
    was, now = old.compose(prototype, residual), new.compose(k, rest)
    assert np.abs(was - now).max() <= 4 * np.finfo(np.float32).eps * max(np.abs(was).max(), np.abs(new.codes[k]).max())
    assert k == new.assign(was)[0]


def test_a_code_that_is_a_new_prototype_needs_no_residual() -> None:
    assert rebase(bank_of(line(0, 5)), bank_of(line(5, 9)), 1, None) == (0, None)
    with pytest.raises(WireError, match="prototype 2 is unknown"):
        rebase(bank_of(line(0, 5)), bank_of(line(5, 9)), 2, None)


def test_a_refresh_that_wins_is_taken_and_one_that_loses_is_not() -> None:
    bank = bank_of(line(0, 8))
    statistics = ForgettingStatistics.of(line(2, 10), bank, 0, 10)
    won = refresh_or_keep(bank, statistics, line(2, 10))
    assert (won.accepted, won.before, won.after, won.bank.version) == (True, 2, 0, 2)
    lost = refresh_or_keep(bank, statistics, line(0, 8))
    assert (lost.accepted, lost.before, lost.after) == (False, 0, 2)
    assert lost.bank is bank


@given(code_arrays(1, 4), code_arrays(1, 12), code_arrays(1, 12), METRICS)
def test_held_back_codes_never_lose(centres: Any, arrived: Any, held_back: Any, metric: Any) -> None:
    bank = bank_of(centres, metric)
    outcome = refresh_or_keep(bank, ForgettingStatistics.of(arrived, bank, 0, 8), held_back, recent=arrived)
    assert mean_residual(outcome.bank, held_back) <= mean_residual(bank, held_back)
    assert outcome.accepted == (outcome.bank is not bank)


@given(code_arrays(0, 12), code_arrays(1, 5), METRICS)
def test_carried_to_another_bank_nothing_is_lost(codes: Any, centres: Any, metric: Any) -> None:
    statistics = ForgettingStatistics.of(codes, bank_of(line(-1, 0, 2)), 3, 8)
    carried = statistics.under(bank_of(centres, metric, 9))
    assert (carried.version, carried.at, carried.half_life) == (9, 3, 8)
    for a, b in zip(parts(statistics), parts(carried), strict=True):
        np.testing.assert_allclose(a.sum(axis=0), b.sum(axis=0), rtol=1e-12)


def test_carried_to_the_next_version_clusters_keep_their_codes() -> None:
    bank = bank_of(line(0, 8))
    statistics = ForgettingStatistics.of(line(1, 3, 9), bank, 0, 10)
    carried = statistics.under(refresh(bank, statistics))
    assert carried.sums.count.tolist() == [2, 1]
    assert refresh(refresh(bank, statistics), carried).version == 3


def test_a_stream_that_drifts_is_followed() -> None:
    """Two groups walk away together; refreshed every 20 codes, the bank stays near them, the first does not."""
    rng, bank = np.random.default_rng(0), bank_of(line(-3, 3))
    first, statistics = bank, ForgettingStatistics.of(line(0)[:0], bank, 0, 40)
    for step in range(40):
        codes, held_back = (line(*(rng.choice([-3, 3], n) + 0.2 * step + 0.1 * rng.normal(size=n))) for n in (20, 10))
        statistics = statistics.merge(ForgettingStatistics.of(codes, bank, 20.0 * step, 40))
        bank = refresh_or_keep(bank, statistics, held_back).bank
        statistics = statistics.under(bank)
    assert bank.version > 30
    assert mean_residual(bank, codes) < 0.6
    assert mean_residual(first, codes) > 3


def test_what_does_not_fit_is_refused() -> None:
    bank = bank_of(line(0, 8))
    statistics = ForgettingStatistics.of(line(1), bank, 0, 10)
    with pytest.raises(DataError, match=r"statistics of bank version 1.*cannot refresh version 2.*carry them over"):
        refresh(bank_of(line(0, 8), version=2), statistics)
    with pytest.raises(DataError, match=r"a refresh has rate 0; wanted a share of the way"):
        refresh(bank, statistics, 0)
    with pytest.raises(DataError, match=r"half-life 10 cannot merge with those of 1, 20"):
        statistics.merge(ForgettingStatistics.of(line(1), bank, 0, 20))
    with pytest.raises(DataError, match=r"decay by a factor of 1\.5"):
        statistics.decayed(1.5)
    with pytest.raises(DataError, match="half-life 0; wanted a finite time"):
        ForgettingStatistics.of(line(1), bank, 0, 0)
    with pytest.raises(DataError, match="hold some back"):
        refresh_or_keep(bank, statistics, line(1)[:0])
    last = bank_of(line(0, 8), version=65535)
    ended = ForgettingStatistics.of(line(1), last, 0, 10)
    with pytest.raises(SpecError, match="version 65536"):
        refresh(last, ended)
