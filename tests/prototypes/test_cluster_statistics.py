"""Statistics of shards: worked by hand, and a commutative monoid under merge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from persona.errors import DataError
from persona.prototypes.cluster_statistics import (
    SHARD,
    ClusterStatistics,
    nearest_squares,
    squared_distances,
)

# Sums of small dyadic numbers are exact, so that the laws hold to the bit.
DYADIC = st.integers(-64, 64).map(lambda n: n / 8)
CENTRES = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
POINTS = st.integers(0, 6).flatmap(lambda n: arrays(np.float64, (n, 2), elements=DYADIC))


def same(a: ClusterStatistics, b: ClusterStatistics) -> bool:
    pairs = ((a.count, b.count), (a.total, b.total), (a.squares, b.squares))
    return all(np.array_equal(x, y) for x, y in pairs)


def test_statistics_by_hand() -> None:
    """(1, 0) and (−1, 0) are nearest to the origin, (5, 1) to the second centre; the third is empty."""
    statistics = ClusterStatistics.of(np.array([[1.0, 0], [-1, 0], [5, 1]]), CENTRES)
    assert statistics.count.tolist() == [2, 1, 0]
    assert statistics.total.tolist() == [[0, 0], [5, 1], [0, 0]]
    assert statistics.squares.tolist() == [2, 26, 0]
    assert statistics.means(CENTRES).tolist() == [[0, 0], [5, 1], [0, 4]]
    assert statistics.inertia() == 2


def test_a_tie_goes_to_the_first_centre() -> None:
    assert ClusterStatistics.of(np.array([[2.0, 2.0]]), CENTRES).count.tolist() == [1, 0, 0]


@given(POINTS, POINTS, POINTS)
def test_merge_is_a_commutative_monoid(first: Any, second: Any, third: Any) -> None:
    a, b, c = (ClusterStatistics.of(points, CENTRES) for points in (first, second, third))
    assert same(a.merge(b), b.merge(a))
    assert same(a.merge(b).merge(c), a.merge(b.merge(c)))
    assert same(a.merge(ClusterStatistics.empty(3, 2)), a)


@given(POINTS, POINTS)
def test_shards_merge_to_the_whole(first: Any, second: Any) -> None:
    merged = ClusterStatistics.of(first, CENTRES).merge(ClusterStatistics.of(second, CENTRES))
    assert same(merged, ClusterStatistics.of(np.concatenate([first, second]), CENTRES))


def test_more_points_than_a_shard_holds() -> None:
    points = np.random.default_rng(0).normal(size=(2 * SHARD + 7, 2)) * 3
    statistics = ClusterStatistics.of(points, CENTRES)
    labels = np.argmin(((points[:, None] - CENTRES) ** 2).sum(axis=2), axis=1)
    assert statistics.count.tolist() == np.bincount(labels).tolist()
    spread = sum(((points[labels == k] - points[labels == k].mean(axis=0)) ** 2).sum() for k in range(3))
    assert statistics.inertia() == pytest.approx(spread, rel=1e-9)


def test_statistics_of_different_banks_do_not_merge() -> None:
    with pytest.raises(DataError, match=r"statistics of \(3, 2\) and \(4, 2\) .*under the same centres"):
        ClusterStatistics.empty(3, 2).merge(ClusterStatistics.empty(4, 2))


@given(POINTS)
def test_squared_distances_are_euclids(points: Any) -> None:
    wanted = ((points[:, None] - CENTRES) ** 2).sum(axis=2)
    assert squared_distances(points, CENTRES).tolist() == wanted.tolist()
    if len(points):
        assert nearest_squares(points, CENTRES).tolist() == wanted.min(axis=1).tolist()
