"""Repair of prototypes without forming them anew: split the crowded, merge near-duplicates, wake the dead (method §5).

Pure functions. Both split and merge conserve the devices counted, and count, total and squares of the statistics.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from persona.edit import Array
from persona.errors import DataError
from persona.prototypes.cluster_statistics import (
    ClusterStatistics,
    Float64,
    Int64,
    nearest_labels,
    squared_distances,
)
from persona.prototypes.metric import flattened

# Below this share of the squared size of codes a spread is rounding, and splits nothing.
_LEAST_SPREAD = 1e-9


@dataclass(frozen=True, eq=False)
class Prototypes:
    """Prototypes at work: codes (K, n, d), devices counted (K,), statistics of K clusters, and the metric's factor.

    DataError where they are not of one K and one width.
    """

    codes: Array
    counts: Int64
    sums: ClusterStatistics
    metric: Array | None = None

    def __post_init__(self) -> None:
        """DataError where the parts do not fit together."""
        k, width = len(self.codes), self.codes[0].size
        if self.counts.shape != (k,) or self.sums.total.shape != (k, width):
            raise DataError(
                f"{k} prototypes of width {width} have counts {self.counts.shape} and statistics "
                f"{self.sums.total.shape}; wanted ({k},) and ({k}, {width})"
            )

    def members(self, recent: Array) -> Int64:
        """Return which prototype each of the codes (N, n, d) is nearest to; DataError where they do not fit."""
        self.check(recent)
        return nearest_labels(flattened(recent, self.metric), flattened(self.codes, self.metric))

    def check(self, recent: Array) -> None:
        """Raise DataError where codes do not fit these prototypes or are not finite."""
        if recent.ndim != 3 or recent.shape[1:] != self.codes.shape[1:] or not np.isfinite(recent).all():
            raise DataError(
                f"recent codes have shape {recent.shape}; wanted finite ones of (N, *{self.codes.shape[1:]})"
            )


def split_crowded(prototypes: Prototypes, recent: Array, share: float) -> Prototypes:
    """Split every prototype behind more than a `share` of all codes counted; the new halves come last.

    `recent` codes (N, n, d) show along which direction; one with fewer than two distinct codes there stays whole.
    DataError where the codes do not fit or the share is not in (0, 1).
    """
    if not 0 < share < 1:
        raise DataError(f"crowded was said to be a share above {share}; wanted one between 0 and 1")
    count = prototypes.sums.count
    labels, result = prototypes.members(recent), prototypes
    for k in np.flatnonzero(count > share * count.sum()):
        halves = _halved(prototypes, int(k), recent[labels == k])
        if halves is not None:
            result = _joined(_with_row(result, int(k), halves, 0), _rows(halves, [1]))
    return result


def reseed_dead(prototypes: Prototypes, recent: Array) -> Prototypes:
    """Give every prototype that no code is counted behind one half of the prototype most crowded by then.

    It stays where it is when the most crowded cannot be split by the `recent` codes (N, n, d). DataError where these
    do not fit.
    """
    prototypes.check(recent)
    result = prototypes
    for dead in np.flatnonzero(prototypes.sums.count == 0):
        crowded = int(np.argmax(result.sums.count))
        halves = _halved(result, crowded, recent[result.members(recent) == crowded])
        if halves is None:
            break
        kept = int(result.counts[dead])  # devices that were counted behind it once
        result = _with_row(_with_row(result, crowded, halves, 0), int(dead), halves, 1)
        counts = result.counts.copy()
        counts[dead] += kept
        result = replace(result, counts=counts)
    return result


def merge_duplicates(prototypes: Prototypes, distance: float) -> Prototypes:
    """Merge the two nearest prototypes until no two are nearer than `distance` under the metric.

    The first takes the second in, at their mean weighted by the codes counted behind each (evenly, if none).
    """
    result = prototypes
    while len(result.codes) > 1:
        points = flattened(result.codes, result.metric)
        squares = squared_distances(points, points)
        np.fill_diagonal(squares, np.inf)
        first, second = sorted(int(i) for i in np.unravel_index(np.argmin(squares), squares.shape))
        if squares[first, second] >= distance**2:
            break
        result = _taken_in(result, first, second)
    return result


def _taken_in(whole: Prototypes, first: int, second: int) -> Prototypes:
    pair = _rows(whole, [first, second])
    weights = pair.sums.count if pair.sums.count.any() else np.ones(2)
    code = np.average(pair.codes.astype(np.float64), axis=0, weights=weights).astype(np.float32)
    sums = ClusterStatistics(*(x.sum(axis=0, keepdims=True) for x in _parts(pair.sums)))
    one = Prototypes(code[None], pair.counts.sum(keepdims=True), sums, whole.metric)
    rest = [k for k in range(len(whole.codes)) if k != second]
    return _rows(_with_row(whole, first, one, 0), rest)


def _halved(whole: Prototypes, k: int, members: Array) -> Prototypes | None:
    """Return the two halves of prototype k, or None where its members tell no direction or it has no spread.

    Members are parted at their mean along their first principal direction (Boley, Data Mining and Knowledge Discovery
    1998). The halves' offsets from the prototype are theirs from that mean, scaled down where the statistics know less
    spread than that; what spread is left stays within the halves, so that all sums are conserved.
    """
    if len(members) < 2:
        return None
    points = flattened(members, None)
    beyond = points - points.mean(axis=0)
    seen = flattened(beyond.reshape(members.shape), whole.metric)
    above = seen @ np.linalg.eigh(seen.T @ seen)[1][:, -1] > 0
    share = np.array([1 - above.mean(), above.mean()])
    one = _rows(whole, [k])
    count, mean = one.sums.count[0], one.sums.means(flattened(one.codes, None))[0]
    spread = one.sums.squares[0] / max(count, 1e-300) - mean @ mean
    if not share.all() or spread <= _LEAST_SPREAD * (mean @ mean):
        return None
    offsets = np.stack([beyond[~above].mean(axis=0), beyond[above].mean(axis=0)])
    between = float(share @ np.sum(offsets**2, axis=1))
    if between <= _LEAST_SPREAD * (mean @ mean):
        return None
    offsets *= min(1.0, float(np.sqrt(spread / between)))
    within = max(spread - float(share @ np.sum(offsets**2, axis=1)), 0.0)
    return _moved_apart(one, share, offsets, mean, within)


def _moved_apart(one: Prototypes, share: Float64, offsets: Float64, mean: Float64, within: float) -> Prototypes:
    count, means = share * one.sums.count[0], mean + offsets
    sums = ClusterStatistics(count, count[:, None] * means, count * (np.sum(means**2, axis=1) + within))
    second = int(np.rint(share[1] * one.counts[0]))
    codes = (flattened(one.codes, None) + offsets).astype(np.float32).reshape(2, *one.codes.shape[1:])
    return Prototypes(codes, np.array([one.counts[0] - second, second]), sums, one.metric)


def _parts(sums: ClusterStatistics) -> tuple[Float64, Float64, Float64]:
    return sums.count, sums.total, sums.squares


def _rows(whole: Prototypes, rows: list[int]) -> Prototypes:
    sums = ClusterStatistics(*(x[rows] for x in _parts(whole.sums)))
    return Prototypes(whole.codes[rows], whole.counts[rows], sums, whole.metric)


def _joined(first: Prototypes, second: Prototypes) -> Prototypes:
    pairs = zip(_parts(first.sums), _parts(second.sums), strict=True)
    sums = ClusterStatistics(*(np.concatenate(pair) for pair in pairs))
    codes = np.concatenate([first.codes, second.codes])
    return Prototypes(codes, np.concatenate([first.counts, second.counts]), sums, first.metric)


def _with_row(whole: Prototypes, k: int, other: Prototypes, row: int) -> Prototypes:
    """Return the prototypes with the k-th replaced by a row of others."""
    both = _joined(whole, _rows(other, [row]))
    order = [len(whole.codes) if i == k else i for i in range(len(whole.codes))]
    return _rows(both, order)
