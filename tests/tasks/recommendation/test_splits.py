"""Splits: nothing learnt from lies behind the cut, users and queries are disjoint, every query has a history."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona.errors import DataError
from persona.tasks.recommendation.events import EventLog
from persona.tasks.recommendation.splits import Split, by_user, first_half, leave_one_out, temporal, temporal_at


def a_log(seed: int, users: int = 12, events: int = 150, *, timed: bool = True) -> EventLog:
    rng = np.random.default_rng(seed)
    times = rng.integers(1000, size=events) if timed else None
    return EventLog.of(rng.integers(users, size=events), rng.integers(20, size=events), times)


def assert_sound(log: EventLog, split: Split) -> None:
    together = np.concatenate([split.train, split.validation, split.test])
    assert len(np.unique(together)) == len(together), "a query is in two parts"
    assert (together > log.offsets[log.users[together]]).all(), "a query has no history"
    assert (split.train < split.fit_until[log.users[split.train]]).all()
    asked = np.concatenate([split.validation, split.test])
    assert (asked >= split.fit_until[log.users[asked]]).all(), "a query's target is among what is learnt from"
    assert (split.fit_until >= log.offsets[:-1]).all()
    assert (split.fit_until <= log.offsets[1:]).all()
    for part in (split.train, split.validation, split.test):
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()


def test_leave_one_out_takes_the_last_two_events() -> None:
    log = EventLog.of([0, 0, 0, 0, 1, 1, 2], list("abcdabz"))
    split = leave_one_out(log)
    assert split.test.tolist() == [3]
    assert split.validation.tolist() == [2]
    assert split.train.tolist() == [1, 5]
    assert split.fit_until.tolist() == [2, 6, 7]
    assert log.windows(split.test, 3).tolist() == [[1, 2, 3]], "the validation item belongs to the test's history"


@given(st.integers(0, 1000))
def test_leave_one_out_is_sound(seed: int) -> None:
    log = a_log(seed, timed=seed % 2 == 0)
    assert_sound(log, leave_one_out(log))


@given(st.integers(0, 1000), st.sampled_from([0.1, 0.2, 0.3]))
def test_a_temporal_split_learns_from_nothing_behind_the_cut(seed: int, share: float) -> None:
    log = a_log(seed)
    split = temporal(log, share, share)
    assert_sound(log, split)
    times = log.times
    assert times is not None
    learnt = log.ending(split.fit_until).times
    assert learnt is not None
    assert learnt.max() < times[split.validation].min()
    assert times[split.validation].max() < times[split.test].min()
    assert 0.5 * share < len(split.test) / len(log) <= share + 0.02


@given(st.integers(0, 1000), st.integers(1, 5))
def test_users_asked_are_unseen_in_training(seed: int, support: int) -> None:
    log = a_log(seed)
    split = by_user(log, 0.2, 0.3, np.random.default_rng(seed), support)
    assert_sound(log, split)
    groups = [set(log.users[part].tolist()) for part in (split.train, split.validation, split.test)]
    assert len(groups[0] | groups[1] | groups[2]) == sum(map(len, groups))
    assert (split.test - log.offsets[log.users[split.test]] >= support).all()
    assert not set(log.ending(split.fit_until).users.tolist()) & (groups[1] | groups[2])


def test_by_user_depends_on_the_dice_given() -> None:
    log = a_log(0)
    one, same, other = (by_user(log, 0.2, 0.2, np.random.default_rng(seed)).test.tolist() for seed in (1, 1, 2))
    assert one == same != other


@given(st.integers(0, 1000))
def test_an_ageing_base_and_a_fresh_one_are_asked_the_same(seed: int) -> None:
    log = a_log(seed)
    pair = first_half(log, 0.5)
    assert_sound(log, pair.stale)
    assert pair.stale.test is pair.fresh.test
    assert (pair.stale.fit_until <= pair.fresh.fit_until).all()
    assert 0.4 < len(log.ending(pair.stale.fit_until)) / len(log) <= 0.5
    assert len(log.ending(pair.fresh.fit_until)) > len(log.ending(pair.stale.fit_until))


def test_what_cannot_be_split_says_why() -> None:
    untimed = a_log(0, timed=False)
    with pytest.raises(DataError, match="a temporal split needs times, and this log knows only the order"):
        temporal(untimed)
    with pytest.raises(DataError, match="needs times"):
        first_half(untimed)
    log = a_log(0)
    with pytest.raises(DataError, match="has no validation and no test queries"):
        temporal_at(log, 10**6, 10**6)
    with pytest.raises(DataError, match=r"shares of 0 for validation and 0.1 for test"):
        temporal(log, 0, 0.1)
    with pytest.raises(DataError, match=r"shares of 0.5 for validation and 0.5 for test"):
        by_user(log, 0.5, 0.5, np.random.default_rng(0))
    with pytest.raises(DataError, match="support is 0 events"):
        by_user(log, 0.1, 0.1, np.random.default_rng(0), support=0)
    with pytest.raises(DataError, match=r"first 0.9 of the log would see validation"):
        first_half(log, 0.9)
    with pytest.raises(DataError, match="split leave-one-out of 1 events and 1 users has no train"):
        leave_one_out(EventLog.of([0], ["a"]))
    with pytest.raises(DataError, match="wanted some of each"):
        temporal(EventLog.of([0, 0, 1, 1], list("abab"), [5, 5, 5, 5]))
