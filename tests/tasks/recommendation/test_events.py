"""The event log: order, padding, windows, and what is refused at the border."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona.errors import DataError
from persona.tasks.recommendation import collecting
from persona.tasks.recommendation.collecting import Collector, Numbering
from persona.tasks.recommendation.events import EventLog

ANN_AND_BOB = EventLog.of(
    ["bob", "ann", "ann", "ann", "bob"],
    ["tea", "jam", "tea", "egg", "egg"],
    [50, 30, 10, 20, 40],
    [1.0, 2.0, 3.0, 4.0, 5.0],
)

RAW = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 5)), min_size=1, max_size=40)


def test_a_log_is_sorted_by_user_then_time_and_items_start_at_one() -> None:
    log = ANN_AND_BOB
    assert log.user_names == ("ann", "bob")
    assert log.item_names == ("egg", "jam", "tea")
    assert log.users.tolist() == [0, 0, 0, 1, 1]
    assert log.items.tolist() == [3, 1, 2, 1, 3]
    assert log.offsets.tolist() == [0, 3, 5]
    assert log.ratings is not None
    assert log.ratings.tolist() == [3, 4, 2, 5, 1]
    assert (log.users.dtype, log.items.dtype, log.offsets.dtype) == (np.int32, np.int32, np.int64)
    assert (log.n_users, log.n_items, len(log)) == (2, 3, 5)


def test_windows_hold_the_items_before_a_position_padded_on_the_left() -> None:
    positions = np.asarray([0, 2, 3, 4])
    assert ANN_AND_BOB.windows(positions, 3).tolist() == [[0, 0, 0], [0, 3, 1], [0, 0, 0], [0, 0, 1]]
    assert ANN_AND_BOB.ages(positions, 3).tolist() == [[0, 0, 0], [0, 20, 10], [0, 0, 0], [0, 0, 10]]
    assert ANN_AND_BOB.windows(positions, 1).dtype == np.int32
    assert ANN_AND_BOB.ages(positions, 1).dtype == np.float32
    assert ANN_AND_BOB.user_of(positions).tolist() == [0, 0, 1, 1]


@given(RAW, st.integers(1, 5))
def test_windows_are_what_a_loop_finds(raw: list[tuple[int, int, int]], length: int) -> None:
    users, items, times = zip(*raw, strict=True)
    log = EventLog.of(users, items, times)
    found = log.windows(np.arange(len(log)), length)
    for position, window in enumerate(found):
        start = log.offsets[log.users[position]]
        before = log.items[start:position].tolist()[-length:]
        assert window.tolist() == [0] * (length - len(before)) + before


@given(RAW, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter_where_times_are_known(raw: list[Any], random: Any) -> None:
    shuffled = random.sample(raw, len(raw))
    one, other = (EventLog.of(*zip(*rows, strict=True), seed=3) for rows in (raw, shuffled))
    assert one.items.tolist() == other.items.tolist()
    assert one.times is not None
    assert (np.diff(one.times)[one.users[1:] == one.users[:-1]] >= 0).all()


def test_ties_are_shuffled_by_the_seed_alone() -> None:
    def tied(seed: int) -> list[int]:
        items: list[int] = EventLog.of([0] * 50 + [1] * 50, list(range(50)) * 2, [7] * 100, seed=seed).items.tolist()
        return items

    assert tied(0) == tied(0)
    assert tied(0) != tied(1)
    assert tied(0)[:50] != list(range(1, 51)), "ties came out by id, as if one had come before the other"
    assert sorted(tied(0)[:50]) == list(range(1, 51))


def test_without_times_the_given_order_stays() -> None:
    log = EventLog.of([1, 0, 1, 0], [9, 8, 7, 6])
    assert [log.item_names[item - 1] for item in log.items] == ["8", "6", "9", "7"]
    with pytest.raises(DataError, match="ages needs times, and this log knows only the order"):
        log.ages(np.asarray([1]), 2)


def test_numbers_are_sorted_as_numbers_and_text_as_text() -> None:
    assert EventLog.of(["10", "9"], ["b", "a"]).user_names == ("9", "10")
    assert EventLog.of(["10", "x9"], ["b", "a"]).user_names == ("10", "x9")
    assert EventLog.of(["007", "7"], ["b", "a"]).user_names == ("007", "7"), "two ids became one"
    assert EventLog.of([7, "7"], ["b", "a"]).user_names == ("7",), "one id became two"


@pytest.mark.parametrize(("policy", "items"), [("keep", [1, 2, 1, 1]), ("first", [1, 2]), ("last", [2, 1])])
def test_duplicates_are_kept_or_dropped_as_asked(policy: Any, items: list[int]) -> None:
    assert EventLog.of([0] * 4, ["a", "b", "a", "a"], [1, 2, 3, 4], duplicates=policy).items.tolist() == items


def test_duplicates_can_be_refused_and_policies_are_known() -> None:
    with pytest.raises(DataError, match="1 of 3 events repeat a user and an item"):
        EventLog.of([0, 0, 0], ["a", "b", "a"], duplicates="refuse")
    assert len(EventLog.of([0, 1], ["a", "a"], duplicates="refuse")) == 2
    with pytest.raises(DataError, match="'both' is no policy for duplicates; wanted one of keep"):
        EventLog.of([0], ["a"], duplicates="both")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([], []), "the log has no events"),
        (([1], [1, 2]), r"columns of a log have \[1, 2\] values"),
        (([2**70], [1]), "user id 1180591620717411303424 does not fit int64; give such ids as text"),
        ((np.asarray([2**63], np.uint64), [1]), "user id 9223372036854775808 does not fit int64"),
        (([1], [1.5]), "item id 1.5 is neither text nor a whole number"),
        (([1], [None]), "item id None is neither"),
        (([True], [1]), "user id True is neither"),
        (([1], [""]), "item id '' is neither"),
        ((np.asarray([0.5]), [1]), "user ids are float64"),
        ((np.zeros((2, 2), np.int64), [1, 2]), r"user ids have shape \(2, 2\)"),
        (([1, 1], [1, 2], [5, np.nan]), "time of event 1 is nan; wanted seconds since 1970"),
        (([1, 1], [1, 2], [-1, 5]), "time of event 0 is -1"),
        (([1], [1], [np.inf]), "time of event 0 is inf"),
        (([1], [1], [1e19]), r"time of event 0 is 1e\+19"),
        (
            ([1], [1], np.asarray(["2020-01-01"], "datetime64[s]")),
            r"times of a log are datetime64\[s\]; wanted numbers",
        ),
        (([1], [1], [None]), "time of event 0 is nan"),
        (([1], [1], ["soon"]), "time of event 0 is .*soon.*; wanted a number"),
        (([1, 1], [1, 2], ["3", ""]), "time of event 1 is .*; wanted a number"),
        (([1], [1], [1], ["good"]), "rating of event 0 is .*good"),
        (([1], [1], [1], [np.nan]), "rating of event 0 is nan; wanted a finite number"),
        (([1], [1], [1], [1e300]), r"rating of event 0 is 1e\+300"),
    ],
)
def test_what_is_no_log_is_refused(columns: tuple[Any, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        EventLog.of(*columns)


def test_large_ids_times_as_text_and_one_event_are_a_log() -> None:
    log = EventLog.of([2**63 - 1], ["9" * 40], ["4102444800"])
    assert log.user_names == (str(2**63 - 1),)
    assert log.windows(np.asarray([0]), 4).tolist() == [[0, 0, 0, 0]]
    assert log.times is not None
    assert log.times.tolist() == [4102444800]


def test_a_log_whose_arrays_lie_is_refused() -> None:
    log = ANN_AND_BOB
    with pytest.raises(DataError, match=r"items from 0 to 3; wanted users in 0\.\.1 and items in 1\.\.3"):
        replace(log, items=np.asarray([3, 0, 2, 1, 3], np.int32))
    with pytest.raises(DataError, match="event 3 comes before the one in front of it"):
        replace(log, users=np.asarray([0, 0, 1, 0, 1], np.int32))
    with pytest.raises(DataError, match="event 1 comes before the one in front of it"):
        replace(log, times=np.asarray([9, 8, 7, 6, 5]))
    with pytest.raises(DataError, match=r"items of a log have shape \(4,\)"):
        replace(log, items=log.items[:4])
    with pytest.raises(DataError, match="wanted int32 in a row"):
        replace(log, items=log.items.astype(np.int64))
    with pytest.raises(DataError, match="times are float64"):
        replace(log, times=np.zeros(5))
    with pytest.raises(DataError, match="2 texts; wanted one, or None, for each of 3"):
        replace(log, texts=("a", "b"))
    with pytest.raises(DataError, match=r"item vectors have shape \(3, 2\); wanted \(4, D\)"):
        replace(log, vectors=np.zeros((3, 2), np.float32))


@pytest.mark.parametrize("positions", [np.asarray([5]), np.asarray([-1]), np.asarray([[1]]), np.asarray([0.0])])
def test_positions_outside_the_log_are_refused(positions: Any) -> None:
    with pytest.raises(DataError, match="positions"):
        ANN_AND_BOB.windows(positions, 2)


def test_a_window_has_at_least_one_place_and_no_positions_are_fine() -> None:
    with pytest.raises(DataError, match="window of 0 events"):
        ANN_AND_BOB.windows(np.asarray([1]), 0)
    assert ANN_AND_BOB.windows(np.zeros(0, np.int64), 2).shape == (0, 2)


def test_parts_of_a_log_keep_its_numbers() -> None:
    log = ANN_AND_BOB
    assert log.times is not None
    early = log.take(log.times < 30)
    assert early.items.tolist() == [3, 1]
    assert early.n_items == 3
    assert early.offsets.tolist() == [0, 2, 2]
    assert log.ending(np.asarray([1, 3])).items.tolist() == [3]
    with pytest.raises(DataError, match="one position for each of 2 users"):
        log.ending(np.asarray([1]))
    assert len(log.take(log.times < 0)) == 0


def test_texts_and_vectors_follow_their_items_and_may_be_missing() -> None:
    log = ANN_AND_BOB.with_texts({"tea": " Earl Grey ", "egg": "  ", "milk": "unknown here"})
    assert log.texts == (None, None, "Earl Grey")
    log = log.with_vectors(["tea", "milk"], np.asarray([[1.0, 2.0], [3.0, 4.0]]))
    assert log.vectors is not None
    assert log.vectors.tolist() == [[0, 0], [0, 0], [0, 0], [1, 2]]
    fewer = log.take(log.items == 3).renumbered()
    assert (fewer.item_names, fewer.texts, fewer.items.tolist()) == (("tea",), ("Earl Grey",), [1, 1])
    assert fewer.vectors is not None
    assert fewer.vectors.tolist() == [[0, 0], [1, 2]]
    with pytest.raises(DataError, match=r"vectors have shape \(1, 2\) for 1 names; wanted a finite row"):
        log.with_vectors(["tea"], np.asarray([[np.nan, 1.0]]))


def test_unknown_names_are_listed() -> None:
    assert ANN_AND_BOB.numbers_of(["tea", "egg"]).tolist() == [3, 1]
    assert ANN_AND_BOB.numbers_of(["bob"], "user").tolist() == [1]
    with pytest.raises(DataError, match="1 of 2 items are not in the log, 'milk' among them"):
        ANN_AND_BOB.numbers_of(["tea", "milk"])


def test_too_many_ids_and_events_are_refused() -> None:
    with pytest.raises(DataError, match="more than 3 different item ids, and numbers are int32"):
        Numbering("item", most=3).codes([5, 6, 7, 8])
    assert collecting.MOST_NUMBERS < 2**31
    collector = Collector(most=5)
    collector.add([1, 2, 3], [1, 2, 3])
    with pytest.raises(DataError, match="more than 5 events, the limit; raise the limit, or cut the log by time"):
        collector.add([1, 2, 3], [1, 2, 3])


def test_columns_must_not_change_on_the_way() -> None:
    collector = Collector()
    collector.add([1], [1], [5])
    with pytest.raises(DataError, match="after 1 events the log's columns change"):
        collector.add([1], [1])


def test_a_long_log_takes_a_bounded_number_of_bytes_an_event() -> None:
    """Half a million events in twenty chunks: 30 bytes each while they wait, at most 80 while they are put in order."""
    events, chunk = 500_000, 25_000
    rng = np.random.default_rng(0)
    tracemalloc.start()
    try:
        collector = Collector()
        for _ in range(events // chunk):
            collector.add(
                rng.integers(20_000, size=chunk), rng.integers(5_000, size=chunk), rng.integers(10**9, size=chunk)
            )
        waiting = tracemalloc.get_traced_memory()[0]
        log = EventLog.of_collected(collector)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(log) == events
    assert waiting < 30 * events
    assert peak < 80 * events
