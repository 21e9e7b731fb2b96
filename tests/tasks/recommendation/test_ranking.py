"""Ranks: ties count half, seen items stand aside, blocks change nothing, and nonsense is no perfect score."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona.errors import DataError
from persona.tasks.recommendation import ranking
from persona.tasks.recommendation.events import EventLog, Positions
from persona.tasks.recommendation.ranking import draw_unmet, rank_targets, ranks_of, sampled_ranks

LOG = EventLog.of([0, 0, 0, 1, 1], list("abcad"), [1, 2, 3, 4, 5])


def test_a_rank_is_known_by_hand() -> None:
    scores = np.asarray([[99, 0.5, 0.9, 0.7, 0.7, 0.7]] * 3)
    assert ranks_of(scores, np.asarray([2, 1, 4])).tolist() == [1, 5, 3], "1 + one higher + half of two others"


def test_a_model_that_knows_nothing_comes_out_in_the_middle() -> None:
    assert ranks_of(np.zeros((1, 102)), np.asarray([7])).tolist() == [51]
    assert ranks_of(np.full((1, 102), -np.inf), np.asarray([7])).tolist() == [51]


def test_seen_items_stand_aside_but_never_the_target() -> None:
    def score(positions: Positions) -> Any:
        return np.tile(np.asarray([0, 9, 8, 1, 5], np.float32), (len(positions), 1))

    positions = np.asarray([2, 4])  # c after a, b; d after a
    assert rank_targets(score, LOG, positions, filter_seen=False).tolist() == [4, 3]
    assert rank_targets(score, LOG, positions).tolist() == [2, 2]
    again = EventLog.of([0, 0], ["a", "a"], [1, 2])
    assert rank_targets(lambda _: np.ones((1, 2), np.float32), again, np.asarray([1])).tolist() == [1]


@given(st.integers(0, 10_000))
def test_ranks_are_what_a_loop_finds_however_many_at_a_time(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log = EventLog.of(rng.integers(5, size=40), rng.integers(9, size=40), rng.integers(99, size=40))
    table = rng.integers(4, size=(40, log.n_items + 1)).astype(np.float32)
    positions = np.arange(40)
    cells = ranking.CELLS
    try:
        found = []
        for ranking.CELLS in (1, 50, cells):
            found.append(rank_targets(lambda block: table[block], log, positions).tolist())
    finally:
        ranking.CELLS = cells
    assert found[0] == found[1] == found[2]
    for position in positions:
        target = log.items[position]
        seen = set(log.items[log.offsets[log.users[position]] : position].tolist())
        others = [table[position, item] for item in range(1, log.n_items + 1) if item != target and item not in seen]
        mine = table[position, target]
        assert found[0][position] == 1 + sum(o > mine for o in others) + 0.5 * sum(o == mine for o in others)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.full((1, 5), np.nan, np.float32), "scores have NaN among them"),
        (np.zeros((2, 5), np.float32), r"scores are \(2, 5\) float32 for 1 queries"),
        (np.zeros(5, np.float32), r"scores are \(5,\)"),
        (np.zeros((1, 5), np.int64), "int64 for 1 queries; wanted floats"),
        (np.zeros((1, 3), np.float32), r"targets run from 3 to 3; wanted items in 1\.\.2: the model's catalogue"),
    ],
)
def test_scores_that_are_none_are_refused(scores: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rank_targets(lambda _: scores, LOG, np.asarray([2]))


def test_the_models_own_scores_are_left_alone_and_padding_is_never_read() -> None:
    scores = np.asarray([[np.nan, 1, 2, 3, 4]], np.float32)
    before = scores.copy()
    assert rank_targets(lambda _: scores, LOG, np.asarray([2])).tolist() == [2]
    assert np.array_equal(scores, before, equal_nan=True)


def test_no_queries_have_no_ranks() -> None:
    none = np.zeros(0, np.int64)
    assert rank_targets(lambda _: np.zeros((0, 5)), LOG, none).shape == (0,)
    assert sampled_ranks(lambda _: np.zeros((0, 5)), LOG, none, np.random.default_rng(0)).shape == (0,)


def test_negatives_are_never_items_of_the_user_nor_the_target_nor_drawn_twice() -> None:
    def score(positions: Positions) -> Any:
        # Items of user 0 beat everything; whoever draws one of them as a negative ranks lower than first.
        return np.tile(np.asarray([9e9, 5, 5, 1, 0.5, 0.4, 0.3], np.float32), (len(positions), 1))

    log = EventLog.of([0, 0, 0, 1, 1, 1], list("abcdef"))
    rng = np.random.default_rng(0)
    assert {float(sampled_ranks(score, log, np.asarray([2]), rng, 3)[0]) for _ in range(20)} == {1.0}
    worst = np.asarray([[0, 5, 5, 0, 1, 1, 1]], np.float32)
    assert sampled_ranks(lambda _: worst, log, np.asarray([2]), rng, 3).tolist() == [4]
    with pytest.raises(DataError, match="user 0 leaves 3 of 6 items unmet; wanted 4 negatives"):
        sampled_ranks(score, log, np.asarray([2]), rng, 4)


def test_a_blind_model_is_in_the_middle_of_a_sample_too() -> None:
    log = EventLog.of([0] * 3, [1, 2, 3]).with_texts({})
    wide = EventLog(log.users, log.items, None, None, log.user_names, tuple(map(str, range(300))))
    ranks = sampled_ranks(lambda block: np.zeros((len(block), 301)), wide, np.asarray([1, 2]), np.random.default_rng(0))
    assert ranks.tolist() == [50.5, 50.5]


def test_items_that_are_drawn_are_none_that_the_user_ever_meets() -> None:
    drawn = draw_unmet(LOG, np.asarray([1, 4]), np.random.default_rng(0), 1)
    assert drawn.tolist()[0] == [4], "user 0 meets a, b and c"
    assert drawn.tolist()[1][0] in (2, 3)
    assert draw_unmet(LOG, np.zeros(0, np.int64), np.random.default_rng(0), 2).shape == (0, 2)
    with pytest.raises(DataError, match="draw fewer"):
        draw_unmet(LOG, np.asarray([1]), np.random.default_rng(0), 2)
