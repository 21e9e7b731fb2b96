"""Codes of training devices → a bank: centres to send by number, and the map to pick one without the cloud."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from persona.bank import Bank
from persona.edit import Array
from persona.errors import DataError
from persona.prototypes.cluster import fit_centres
from persona.prototypes.cluster_statistics import Float64, Int64, nearest_labels, squared_distances
from persona.prototypes.local_map import fit_map
from persona.prototypes.metric import flattened


def make_bank(
    codes: npt.ArrayLike,
    features: npt.ArrayLike,
    k: int,
    rng: np.random.Generator,
    *,
    centre: Literal["mean", "medoid"] = "mean",
    metric: Array | None = None,
) -> Bank:
    """Return the bank, version 1, of at most `k` prototypes of codes (N, n, d), row by row of windows' features (N, F).

    A prototype is the mean of its codes, or their medoid: the real code nearest to the mean. `metric` (n·d, n·d) is a
    factor of the distance between codes, see `metric_factor`; None is Euclid's. Prototype 0 is the one that most of the
    codes are nearest to. DataError where the arrays do not fit each other, are empty or not finite, or for another
    kind of centre.
    """
    if centre not in ("mean", "medoid"):
        raise DataError(f"prototypes were asked for as {centre!r}; wanted 'mean' or 'medoid'")
    weight, bias = fit_map(features, codes)
    real = np.asarray(codes, np.float32)
    seen = flattened(real, metric)
    clusters = fit_centres(seen.reshape(real.shape), k, rng)
    centres, counts = clusters.centres, clusters.counts
    if metric is not None or centre == "medoid":
        middles = centres.reshape(len(centres), -1).astype(np.float64)
        labels = nearest_labels(seen, middles)
        centres = medoids(real, seen, middles, labels) if centre == "medoid" else _means(real, labels)
        centres, counts = _fullest_first(centres, nearest_labels(seen, flattened(centres, metric)))
    return Bank(centres, counts, weight, bias, 1, metric)


def medoids(codes: Array, points: Float64, centres: Float64, labels: Int64) -> Array:
    """Return of every cluster that has codes (N, n, d) the one whose point (N, D) is nearest to its centre (K, D)."""
    members = (np.flatnonzero(labels == k) for k in np.unique(labels))
    nearest = [rows[np.argmin(squared_distances(points[rows], centres[labels[rows[:1]]]))] for rows in members]
    return codes[nearest]


def _means(codes: Array, labels: Int64) -> Array:
    means = [codes[labels == k].mean(axis=0, dtype=np.float64) for k in np.unique(labels)]
    return np.asarray(means, np.float32)


def _fullest_first(centres: Array, labels: Int64) -> tuple[Array, Int64]:
    counts = np.bincount(labels, minlength=len(centres)).astype(np.int64)
    order = np.argsort(-counts, kind="stable")
    return centres[order], counts[order]
