"""Cores and least ratings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona.errors import DataError
from persona.tasks.recommendation.events import EventLog
from persona.tasks.recommendation.filtering import at_least, k_core


def test_a_core_is_found_by_dropping_again_and_again() -> None:
    # c hangs on the item z alone; without c, z has one event; without z, nothing else changes.
    log = EventLog.of(list("aabbcc"), list("xyxyzw"), [1, 2, 3, 4, 5, 6])
    core = k_core(log, users=2, items=2)
    assert core.user_names == ("a", "b")
    assert core.item_names == ("x", "y")
    assert core.items.tolist() == [1, 2, 1, 2]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60), st.integers(1, 4))
def test_everything_in_a_core_has_enough_events(pairs: list[tuple[int, int]], least: int) -> None:
    log = EventLog.of(*zip(*pairs, strict=True))
    try:
        core = k_core(log, least, least)
    except DataError:
        return
    assert np.bincount(core.users).min() >= least
    assert np.bincount(core.items)[1:].min() >= least
    assert len(k_core(core, least, least)) == len(core)


def test_low_ratings_are_left_out() -> None:
    log = EventLog.of([0, 0, 1], ["a", "b", "a"], ratings=[3, 4, 5])
    assert at_least(log, 4).items.tolist() == [2, 1]
    assert at_least(log, 5).user_names == ("1",)


def test_nothing_left_and_no_ratings_are_said() -> None:
    log = EventLog.of([0, 0, 1], ["a", "b", "a"])
    with pytest.raises(DataError, match="a core of 9 events a user and 5 an item leaves none"):
        k_core(log, users=9)
    with pytest.raises(DataError, match="this log has no ratings"):
        at_least(log, 3)
    with pytest.raises(DataError, match=r"rating of at least 6 leaves none"):
        at_least(EventLog.of([0], ["a"], ratings=[3]), 6)
