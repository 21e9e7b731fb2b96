"""What clusters know of their codes, as sums: shards of codes can be measured apart and merged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from persona.errors import DataError

# Codes that are measured at once: bounds the table of distances.
SHARD = 4096

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ClusterStatistics:
    """K clusters of codes flattened to D entries: count (K,), total (K, D), squares (K,), the sum of squared norms.

    Statistics of several shards under the same centres merge by addition.
    """

    count: Float64
    total: Float64
    squares: Float64

    @classmethod
    def empty(cls, k: int, width: int) -> ClusterStatistics:
        """Return the statistics of no codes: the neutral element of `merge`."""
        return cls(np.zeros(k), np.zeros((k, width)), np.zeros(k))

    @classmethod
    def of(cls, points: Float64, centres: Float64) -> ClusterStatistics:
        """Return the statistics of points (N, D), each given to the nearest of the centres (K, D)."""
        whole = cls.empty(*centres.shape)
        for start in range(0, len(points), SHARD):
            shard = points[start : start + SHARD]
            whole = whole.merge(cls.of_labels(shard, nearest_labels(shard, centres), len(centres)))
        return whole

    @classmethod
    def of_labels(cls, points: Float64, labels: Int64, k: int) -> ClusterStatistics:
        """Return the statistics of points (N, D), each given to the cluster, below `k`, that its label (N,) names."""
        return cls(
            np.bincount(labels, minlength=k).astype(np.float64),
            np.stack([np.bincount(labels, column, k) for column in points.T], axis=1),
            np.asarray(np.bincount(labels, np.sum(points**2, axis=1), k), np.float64),
        )

    def scaled(self, factor: float) -> ClusterStatistics:
        """Return the statistics of codes that count `factor` times as much."""
        return ClusterStatistics(self.count * factor, self.total * factor, self.squares * factor)

    def merge(self, other: ClusterStatistics) -> ClusterStatistics:
        """Return the statistics of both shards together; DataError where they are of different banks."""
        if self.total.shape != other.total.shape:
            raise DataError(
                f"statistics of {self.total.shape} and {other.total.shape} (clusters, entries of a code) cannot merge; "
                "take both under the same centres"
            )
        return ClusterStatistics(self.count + other.count, self.total + other.total, self.squares + other.squares)

    def means(self, fallback: Float64) -> Float64:
        """Return the mean code of every cluster (K, D), and the fallback's row (K, D) where a cluster is empty."""
        filled = self.count[:, None]
        return np.where(filled > 0, self.total / np.maximum(filled, 1), fallback)

    def inertia(self) -> float:
        """Return the sum of the squared distances of all codes to the mean of their cluster."""
        around_means = self.squares - np.sum(self.total**2, axis=1) / np.maximum(self.count, 1)
        return float(np.maximum(around_means, 0).sum())


def squared_distances(points: Float64, centres: Float64) -> Float64:
    """Return the squared Euclidean distances (N, K) of points (N, D) and centres (K, D)."""
    squares = 2 * _half_distances(points, centres) + np.sum(points**2, axis=1)[:, None]
    return np.asarray(np.maximum(squares, 0), np.float64)


def nearest_labels(points: Float64, centres: Float64) -> Int64:
    """Return the number (N,) of the centre nearest to each point, the first among equals."""
    starts = range(0, len(points), SHARD)
    shards = [np.argmin(_half_distances(points[s : s + SHARD], centres), axis=1) for s in starts]
    return np.concatenate([np.zeros(0, np.int64), *shards])


def nearest_squares(points: Float64, centres: Float64) -> Float64:
    """Return the squared distance (N,) of each point to the nearest centre."""
    starts = range(0, len(points), SHARD)
    return np.concatenate([squared_distances(points[s : s + SHARD], centres).min(axis=1) for s in starts])


def _half_distances(points: Float64, centres: Float64) -> Float64:
    """Return half the squared distances (N, K), less half the points' own squares: enough to tell the nearest."""
    return np.asarray(0.5 * np.sum(centres**2, axis=1) - points @ centres.T, np.float64)
