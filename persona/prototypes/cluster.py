"""Codes → centres: k-means whose every step is a sum over shards (method §5). Distance is Euclidean in code space.

Greedy k-means++ seeding (Arthur and Vassilvitskii, SODA 2007), a pass of mini-batches where codes are many (Sculley,
WWW 2010), then Lloyd's steps until no centre moves. Centres that nobody is nearest to are put where codes are far from
all others; two centres that share a cluster are merged, and the one set free splits another. Of several restarts the
tightest is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from persona.bank import MAX_PROTOTYPES
from persona.edit import Array
from persona.errors import DataError
from persona.prototypes.cluster_statistics import (
    SHARD,
    ClusterStatistics,
    Float64,
    nearest_squares,
    squared_distances,
)

RESTARTS = 3
# Codes that seeding looks at, at most; more of them hardly change where a seed falls.
SEEDING_SAMPLE = 16_384
# Lloyd's steps at most; a few dozen are usual.
STEPS = 200
# Merge-and-split moves in a row that bring nothing, before a restart counts as done.
PATIENCE = 6
# The share of the inertia that such a move must save to count.
LEAST_GAIN = 1e-4

Int64 = npt.NDArray[np.int64]
Attempt = tuple[Float64, ClusterStatistics]


@dataclass(frozen=True, eq=False)
class Clusters:
    """Centres (K, n, d) float32, the codes nearest to each (K,), the fullest first, and their inertia."""

    centres: Array
    counts: Int64
    inertia: float


def fit_centres(codes: npt.ArrayLike, k: int, rng: np.random.Generator, restarts: int = RESTARTS) -> Clusters:
    """Return at most `k` centres of codes (N, n, d): as many as there are distinct codes, where those are fewer.

    DataError where there are no codes, codes are misshapen or not finite, or `k` or `restarts` makes no sense.
    """
    whole = _checked(codes, k, restarts)
    flat = whole.reshape(len(whole), -1).astype(np.float64) + 0.0  # a negative zero is a zero
    distinct, counts = np.unique(flat, axis=0, return_counts=True)
    if len(distinct) <= k:
        return _clusters(distinct, counts, 0.0, whole.shape)
    middle = flat.mean(axis=0)  # near zero, sums of squares lose fewer digits
    points = flat - middle
    attempts = [_attempt(points, k, rng) for _ in range(restarts)]
    centres, statistics = min(attempts, key=_inertia)
    alive = statistics.count > 0
    return _clusters(centres[alive] + middle, statistics.count[alive], statistics.inertia(), whole.shape)


def _checked(codes: npt.ArrayLike, k: int, restarts: int) -> Array:
    whole = np.asarray(codes, np.float32)
    if whole.ndim != 3 or not whole.size:
        raise DataError(f"codes to cluster have shape {whole.shape}; wanted (N, n, d), none of them 0: give some codes")
    broken = int((~np.isfinite(whole)).any(axis=(1, 2)).sum())
    if broken:
        raise DataError(f"{broken} of {len(whole)} codes to cluster are not finite; leave them out")
    if not 1 <= k <= MAX_PROTOTYPES:
        raise DataError(f"{k} centres were asked for; wanted 1..{MAX_PROTOTYPES}")
    if restarts < 1:
        raise DataError(f"{restarts} restarts were asked for; wanted at least 1")
    return whole


def _clusters(centres: Float64, counts: npt.NDArray[np.generic], inertia: float, shape: tuple[int, ...]) -> Clusters:
    fullest_first = np.argsort(-counts.astype(np.int64), kind="stable")
    ordered = centres[fullest_first].reshape(-1, *shape[1:]).astype(np.float32)
    return Clusters(ordered, counts[fullest_first].astype(np.int64), inertia)


def _inertia(attempt: Attempt) -> float:
    return attempt[1].inertia()


def _attempt(points: Float64, k: int, rng: np.random.Generator) -> Attempt:
    """Return centres (K, D) and their statistics, from one seeding."""
    best = _polish(points, _stream(points, _seed(points, k, rng), rng), rng)
    failures = 0
    while failures < PATIENCE and 1 < k <= SHARD:  # beyond it the table of all pairs outgrows what it brings
        centres, statistics = best
        others = np.delete(centres, _idlest(centres, statistics.count, failures), axis=0)
        split, _ = _best_of_draws(points, nearest_squares(points, others), k, rng)
        moved = _polish(points, np.vstack([others, points[split]]), rng)
        better = _inertia(moved) < _inertia(best) * (1 - LEAST_GAIN)
        best, failures = (moved, 0) if better else (best, failures + 1)
    return best


def _seed(points: Float64, k: int, rng: np.random.Generator) -> Float64:
    """Return `k` of the points, each far from those before."""
    size = max(SEEDING_SAMPLE, 4 * k)
    sample = points if len(points) <= size else points[rng.choice(len(points), size, replace=False)]
    chosen = [int(rng.integers(len(sample)))]
    squares = squared_distances(sample, sample[chosen])[:, 0]
    while len(chosen) < k:
        index, squares = _best_of_draws(sample, squares, k, rng)
        chosen.append(index)
    return sample[chosen]


def _stream(points: Float64, centres: Float64, rng: np.random.Generator) -> Float64:
    """Return centres after one pass of mini-batches, where points are many: a cheap way to near their places."""
    if len(points) <= SHARD:
        return centres
    seen = ClusterStatistics.empty(*centres.shape)
    for batch in np.array_split(rng.permutation(len(points)), math.ceil(len(points) / SHARD)):
        seen = seen.merge(ClusterStatistics.of(points[batch], centres))
        centres = _refilled(points[batch], seen, centres, rng)
    return centres


def _polish(points: Float64, centres: Float64, rng: np.random.Generator) -> Attempt:
    """Return centres that Lloyd's steps no longer move, and the statistics under them."""
    statistics = ClusterStatistics.of(points, centres)
    for _ in range(STEPS):
        moved = _refilled(points, statistics, centres, rng)
        if np.array_equal(moved, centres):
            break
        centres, statistics = moved, ClusterStatistics.of(points, moved)
    return statistics.means(centres), statistics


def _refilled(points: Float64, statistics: ClusterStatistics, centres: Float64, rng: np.random.Generator) -> Float64:
    """Return the clusters' means; those of empty clusters are put on points far from every other mean."""
    means, dead = statistics.means(centres), statistics.count == 0
    if dead.any():
        means[dead] = points[_draw(nearest_squares(points, means[~dead]), int(dead.sum()), rng)]
    return means


def _idlest(centres: Float64, counts: Float64, rank: int) -> int:
    """Return the centre whose merger with another costs least, or that of a later rank.

    The cost is Ward's (JASA 1963): n m / (n + m) · distance².
    """
    weights = counts[:, None] * counts / np.maximum(counts[:, None] + counts, 1)
    cost = weights * squared_distances(centres, centres)
    np.fill_diagonal(cost, np.inf)
    return int(np.argsort(cost.min(axis=1), kind="stable")[rank % len(centres)])


def _best_of_draws(points: Float64, squares: Float64, k: int, rng: np.random.Generator) -> tuple[int, Float64]:
    """Return, of a few points drawn, the one that would serve the others best, and the squares that it would leave."""
    candidates = _draw(squares, 2 + int(math.log(k)), rng)
    options = np.minimum(squares[:, None], squared_distances(points, points[candidates]))
    best = int(np.argmin(options.sum(axis=0)))
    return int(candidates[best]), options[:, best]


def _draw(squares: Float64, n: int, rng: np.random.Generator) -> Int64:
    """Return `n` indices drawn in proportion to `squares`; evenly where all of them are zero."""
    total = squares.sum()
    return np.asarray(rng.choice(len(squares), n, p=squares / total if total > 0 else None), np.int64)
