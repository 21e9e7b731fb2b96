"""The catalogue on the device: scores, the best few, candidates, newcomers, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona.device import ranking
from persona.device.ranking import Catalogue
from persona.errors import DataError
from persona.item_vectors import ItemVectors, Stored
from tests.ranked import Ring


def test_scores_by_hand(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    scores = ring.catalogue.scores(ring.query(2, side=0.5))
    wanted = [-np.inf, -0.5 - 1 / 64, 0.5 - 2 / 64, 1 - 0.5 - 3 / 64, 0.5 - 4 / 64, -0.5 - 5 / 64, 0.5 - 6 / 64]
    assert np.allclose(scores[0], wanted, atol=1e-6)
    items, best = ring.catalogue.top_k(ring.query(2, side=0.5), 3)
    assert items.tolist() == [[2, 3, 4]]
    assert np.allclose(best, scores[0, items[0]])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 2**31), st.integers(1, 60))
def test_the_best_are_those_of_a_full_sort(n_items: int, queries: int, seed: int, k: int) -> None:
    """Whatever the blocks and the ties: coarse numbers make many scores equal."""
    rng = np.random.default_rng(seed)
    table = rng.integers(-2, 3, (n_items + 1, 3)).astype(np.float32)
    bias = np.zeros(n_items + 1, np.float32)
    catalogue = Catalogue(ItemVectors(table, bias))
    rows = rng.integers(-1, 2, (queries, 3)).astype(np.float32)
    seen = [rng.integers(1, n_items + 1, rng.integers(0, 4)) for _ in range(queries)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "BLOCK_ROWS", 7)
        patch.setattr(ranking, "QUERIES_AT_ONCE", 2)
        whole = catalogue.scores(rows)
        items, scores = catalogue.top_k(rows, min(k, n_items), seen)
    assert np.allclose(whole[:, 1:], rows @ table[1:].T)
    for row in range(queries):
        left = np.setdiff1d(np.arange(1, n_items + 1), seen[row])
        order = left[np.lexsort((left, -whole[row, left]))][: min(k, n_items)]
        found = items[row][items[row] > 0]
        assert found.tolist() == order.tolist()
        assert np.array_equal(scores[row, : len(found)], whole[row, found])
        assert np.all(scores[row, len(found) :] == -np.inf)


@pytest.mark.parametrize(("stored", "error"), [("float16", 1e-3), ("int8", 2e-2)])
def test_smaller_vectors_score_nearly_the_same(tmp_path: Path, stored: Stored, error: float) -> None:
    rng = np.random.default_rng(0)
    whole, small = Ring(tmp_path), Ring(tmp_path / "small", stored=stored)
    (tmp_path / "small").mkdir()
    rows = rng.normal(size=(5, 7)).astype(np.float32)
    assert np.allclose(small.catalogue.scores(rows), whole.catalogue.scores(rows), atol=error)


def test_candidates_touch_no_other_row(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    rows = np.concatenate([ring.query(2), ring.query(5, side=1)])
    whole = ring.catalogue.scores(rows)
    chosen = np.array([[3, 1], [6, 6]])
    assert np.allclose(ring.catalogue.score(rows, chosen), np.take_along_axis(whole, chosen, 1))
    table = ring.vectors.copy()
    table[4] = np.inf  # a row that must not be read
    broken = ItemVectors(ring.vectors.copy(), ring.bias)
    broken.vectors[4] = np.inf
    assert np.isfinite(Catalogue(broken).score(rows, chosen)).all()


def test_a_change_for_everybody(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    change = np.zeros(7, np.float32)
    change[5] = 10
    changed = ring.catalogue.with_bias(change)
    assert changed.top_k(ring.query(2), 1)[0].tolist() == [[5]]
    assert ring.catalogue.top_k(ring.query(2), 1)[0].tolist() == [[3]]
    assert np.allclose(changed.score(ring.query(2), [[5]]), changed.scores(ring.query(2))[:, 5:6])
    for wrong in (np.zeros(6), np.full(7, np.nan)):
        with pytest.raises(DataError, match="change of biases"):
            ring.catalogue.with_bias(wrong)


def test_newcomers_are_scored_by_their_texts(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    grown = ring.catalogue.grown(ring.vectors[[3]] * 2)  # twice as much of what item 3 is
    assert (ring.catalogue.n_items, grown.n_items, grown.n_known) == (6, 7, 6)
    assert grown.top_k(ring.query(2), 2)[0].tolist() == [[7, 3]]
    assert grown.top_k(ring.query(2), 2, [[7]])[0].tolist() == [[3, 1]]
    both = grown.score(ring.query(2), [[7, 3]])
    assert np.allclose(both, grown.scores(ring.query(2))[:, [7, 3]])
    with pytest.raises(DataError, match="1 to 6"):
        ring.catalogue.score(ring.query(2), [[7]])


def test_newcomers_without_a_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match="no text map"):
        Ring(tmp_path / "bare", with_texts=False).catalogue.grown(np.ones((1, 7)))
    catalogue = Ring(tmp_path).catalogue
    absent, broken, narrow = np.zeros((1, 7)), np.full((1, 7), np.nan), np.ones((1, 3))
    for wrong, said in ((absent, "item 7 has no usable text"), (broken, "no usable text"), (narrow, "shape")):
        with pytest.raises(DataError, match=said):
            catalogue.grown(wrong)


@pytest.mark.parametrize(
    ("queries", "said"),
    [
        (np.full((1, 7), np.nan), "not finite"),
        (np.full((1, 7), np.inf), "not finite"),
        (np.ones((1, 6)), "needs"),
        (np.ones(7), "needs"),
    ],
)
def test_queries_that_are_none(tmp_path: Path, queries: np.ndarray, said: str) -> None:
    catalogue = Ring(tmp_path).catalogue
    for ask in (catalogue.scores, lambda q: catalogue.top_k(q, 1), lambda q: catalogue.score(q, np.ones((1, 1), int))):
        with pytest.raises(DataError, match=said):
            ask(queries)


@pytest.mark.parametrize("items", [[0], [7], [-1], [2**40], [1.5], [True], ["1"], [np.nan]])
def test_items_that_are_not_there(tmp_path: Path, items: list[object]) -> None:
    ring = Ring(tmp_path)
    with pytest.raises(DataError, match="item numbers from 1 to 6"):
        ring.catalogue.score(ring.query(1), [items])
    with pytest.raises(DataError, match="item numbers from 1 to 6"):
        ring.catalogue.top_k(ring.query(1), 1, [items])


@pytest.mark.parametrize("k", [0, -1, 7])
def test_more_than_there_is(tmp_path: Path, k: int) -> None:
    ring = Ring(tmp_path)
    with pytest.raises(DataError, match="the catalogue has 6 items"):
        ring.catalogue.top_k(ring.query(1), k)


def test_whoever_has_seen_everything_gets_nothing(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    items, scores = ring.catalogue.top_k(ring.query(1), 2, [[1, 2, 3, 4, 5, 6]])
    assert items.tolist() == [[0, 0]]
    assert np.all(scores == -np.inf)
    assert ring.catalogue.top_k(ring.query(1), 2, [[1, 2, 3, 4, 5]])[0].tolist() == [[6, 0]]
