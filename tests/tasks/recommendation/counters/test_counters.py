"""Counters on tiny worlds whose answers are known, and on a real one whose figures are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona.errors import DataError
from persona.tasks.recommendation.counters import (
    Blend,
    ItemKnn,
    KnnShape,
    Markov,
    Popularity,
    choose_blend,
    pairs,
    scored,
)
from persona.tasks.recommendation.counters.pairs import Lags, count_pairs
from persona.tasks.recommendation.events import EventLog
from persona.tasks.recommendation.metrics import summary
from persona.tasks.recommendation.ranking import rank_targets
from persona.tasks.recommendation.readers import open_log
from persona.tasks.recommendation.splits import leave_one_out

A, B, C, D = 1, 2, 3, 4
LOG = EventLog.of([0, 0, 0, 1, 1, 1, 2, 2], list("abcabdca"), [0, 10, 20, 0, 10, 30, 0, 10])
EMPTY = np.zeros((1, 3), np.int32)


def window(*items: int) -> Any:
    return np.asarray([[0] * (3 - len(items)) + list(items)], np.int32)


def test_popularity_is_shares_and_forgets_when_asked() -> None:
    assert Popularity.fit(LOG).scores(EMPTY)[0].tolist() == pytest.approx([0, 3 / 8, 2 / 8, 2 / 8, 1 / 8])
    recent = Popularity.fit(LOG, half_life_s=10)
    weights = np.asarray([0, 1 / 8 + 1 / 8 + 1 / 4, 1 / 4 + 1 / 4, 1 / 2 + 1 / 8, 1])
    assert recent.scores(EMPTY)[0].tolist() == pytest.approx((weights / weights.sum()).tolist())


def test_markov_counts_what_came_next_and_backs_off() -> None:
    after_b = Markov.fit(LOG, back_off=2.0).scores(window(A, B))[0]
    shares = np.asarray([0, 3, 2, 2, 1]) / 8
    assert after_b.tolist() == pytest.approx((np.asarray([0, 0, 0, 1, 1]) / 4 + 0.5 * shares).tolist())
    assert after_b.sum() == pytest.approx(1)
    nothing_known = Markov.fit(LOG).scores(window(D))[0]
    assert nothing_known.tolist() == pytest.approx(shares.tolist())
    assert Markov.fit(LOG).scores(EMPTY)[0].tolist() == pytest.approx(shares.tolist())


def test_item_knn_sums_neighbours_by_distance_and_recency() -> None:
    shape = KnnShape(reach=2, decay=0.5, backward=0.0, popularity=0.0, recency=0.5)
    knn = ItemKnn.fit(LOG, shape)
    assert knn.scores(window(A))[0].tolist() == pytest.approx([0, 0, 2, 0.5, 0.5])
    assert knn.scores(window(A, B))[0].tolist() == pytest.approx([0, 0, 1, 1.25, 1.25])
    assert knn.scores(EMPTY)[0].tolist() == [0] * 5
    both = ItemKnn.fit(LOG, KnnShape(reach=1, backward=0.5, popularity=0.0))
    assert both.scores(window(B))[0].tolist() == pytest.approx([0, 1, 0, 1, 1])


def test_item_knn_forgets_with_time() -> None:
    knn = ItemKnn.fit(LOG, KnnShape(reach=1, backward=0.0, popularity=0.0, recency=1.0, half_life_s=10))
    ages = np.asarray([[0, 10, 20]], np.float32)
    expected = [0, 0, 0.5 * 2 * 0.5, 0.25 * 0.5, 0.25 * 0.25]
    assert knn.scores(window(A, B), ages)[0].tolist() == pytest.approx(expected)
    with pytest.raises(DataError, match="given a half-life and no ages"):
        knn.scores(window(A))


def test_only_the_heaviest_neighbours_are_kept() -> None:
    knn = ItemKnn.fit(LOG, KnnShape(reach=2, backward=0.0, popularity=0.0, neighbours=1))
    assert np.count_nonzero(knn.scores(window(A))) == 1
    assert knn.scores(window(A))[0].argmax() == B


@given(st.integers(0, 1000))
def test_pairs_are_what_a_loop_counts_however_many_at_a_time(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log = EventLog.of(rng.integers(4, size=50), rng.integers(8, size=50))
    wanted = np.zeros((log.n_items + 1, log.n_items + 1))
    for lag, weight in ((1, 1.0), (-1, 0.5), (3, 0.25)):
        for place in range(50):
            near = place + lag
            if 0 <= near < 50 and log.users[place] == log.users[near] and log.items[place] != log.items[near]:
                wanted[log.items[place], log.items[near]] += weight
    most = pairs.PAIRS
    try:
        for pairs.PAIRS in (1, 12, most):
            table = count_pairs(log, Lags({1: 1.0, -1: 0.5, 3: 0.25}), lambda _, __, sums: sums)
            found = np.zeros((log.n_items + 1, log.n_items + 1), np.float32)
            every = np.arange(log.n_items + 1, dtype=np.int32)[:, None]
            table.add_to(found, every, np.ones(every.shape, np.float32))
            assert found == pytest.approx(wanted)
    finally:
        pairs.PAIRS = most


def test_a_blend_takes_the_weights_that_validation_prefers() -> None:
    rng = np.random.default_rng(0)
    start = rng.integers(20, size=60)
    steps = (start[:, None] + np.arange(8)) % 20  # a circle: Markov knows it all, popularity nothing
    log = EventLog.of(np.repeat(np.arange(60), 8), steps.ravel())
    split = leave_one_out(log)
    learnt = log.ending(split.fit_until)
    blend = choose_blend([Popularity.fit(learnt), Markov.fit(learnt)], log, split.validation)
    assert blend.weights[1] > 0
    assert summary(rank_targets(scored(blend, log, 5), log, split.test), (1,))["HR@1"] == 1.0
    assert np.isclose(sum(blend.weights), 1)
    assert blend.scores(window(3)).sum() == pytest.approx(1)


def test_what_counters_do_not_know_is_refused() -> None:
    for counter in (Popularity.fit(LOG), Markov.fit(LOG), ItemKnn.fit(LOG)):
        with pytest.raises(DataError, match="windows hold items from 0 to 5; wanted 0 for padding or one of the 4"):
            counter.scores(window(5))
        with pytest.raises(DataError, match=r"windows are \(3,\)"):
            counter.scores(np.zeros(3, np.int32))
    with pytest.raises(DataError, match="a half-life needs times"):
        Popularity.fit(EventLog.of([0], ["a"]), half_life_s=5)
    with pytest.raises(DataError, match="half-life of 0"):
        Popularity.fit(LOG, half_life_s=0)
    with pytest.raises(DataError, match="back-off of 0"):
        Markov.fit(LOG, back_off=0)
    with pytest.raises(DataError, match="out of range"):
        KnnShape(reach=0)
    with pytest.raises(DataError, match="half-life of -1"):
        KnnShape(half_life_s=-1)
    with pytest.raises(DataError, match="1 counters with weights"):
        Blend((Popularity.fit(LOG),), (0.0,))
    with pytest.raises(DataError, match="blend of no counters"):
        choose_blend([], LOG, np.asarray([1]))


def test_counters_of_a_log_without_events_know_nothing() -> None:
    nothing = LOG.take(np.zeros(len(LOG), bool))
    for counter in (Popularity.fit(nothing), Markov.fit(nothing), ItemKnn.fit(nothing)):
        assert counter.scores(window(A)).tolist() == [[0] * 5]


@pytest.mark.slow
def test_counters_reach_their_figures_on_beauty(shared_data: Path) -> None:
    log = open_log("amazon_beauty", shared_data)
    split = leave_one_out(log)
    learnt = log.ending(split.fit_until)
    blend = choose_blend([Markov.fit(learnt), ItemKnn.fit(learnt)], log, split.validation, most=2000)
    found = summary(rank_targets(scored(blend, log, 20), log, split.test), (10,))
    assert found["HR@10"] > 0.08
    assert found["NDCG@10"] > 0.05
