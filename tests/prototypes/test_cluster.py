"""Clustering: known centres found again, hard cases, and scikit-learn as the oracle."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.cluster import KMeans  # type: ignore[import-untyped]

from persona.bank import MAX_PROTOTYPES
from persona.errors import DataError
from persona.prototypes.cluster import SEEDING_SAMPLE, Clusters, fit_centres

Array = npt.NDArray[np.float32]


def normalised(codes: npt.NDArray[Any]) -> Array:
    """Return codes as an adapter makes them: LayerNorm without affine over the last axis."""
    centred = codes - codes.mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5), np.float32)


def blobs(rng: np.random.Generator, k: int, n: int, spread: float) -> tuple[Array, npt.NDArray[np.int64], Array]:
    """Return codes (n, 2, 4) around k centres, whose each belongs to, and the centres."""
    centres = rng.normal(size=(k, 2, 4)) * 6
    labels = rng.integers(k, size=n)
    codes = centres[labels] + spread * rng.normal(size=(n, 2, 4))
    return codes.astype(np.float32), labels, centres.astype(np.float32)


def overlapping(rng: np.random.Generator) -> Array:
    return blobs(rng, 24, 2000, 3.0)[0]


def normalised_codes(rng: np.random.Generator) -> Array:
    return normalised(rng.normal(size=(1500, 3, 16)) @ rng.normal(size=(16, 16)))


def curved_sheet(rng: np.random.Generator) -> Array:
    return normalised(np.tanh(rng.normal(size=(1500, 1, 3)) @ rng.normal(size=(3, 16))))


def square(rng: np.random.Generator) -> Array:
    return rng.uniform(size=(1500, 1, 2)).astype(np.float32)


def crowded_and_empty(rng: np.random.Generator) -> Array:
    """Some groups are fifty times the size of others."""
    centres = rng.normal(size=(32, 1, 8)) * 4
    labels = np.minimum(rng.geometric(0.15, size=3000) - 1, 31)
    return np.asarray(centres[labels] + 0.5 * rng.normal(size=(3000, 1, 8)), np.float32)


def inertia_of(clusters: Clusters, codes: Array) -> float:
    """Return the inertia written out: each code's squared distance to the nearest centre, summed."""
    flat, centres = codes.reshape(len(codes), -1), clusters.centres.reshape(len(clusters.centres), -1)
    return sum(float(((centres - code) ** 2).sum(axis=1).min()) for code in flat.astype(np.float64))


@pytest.mark.parametrize("world", [overlapping, normalised_codes, curved_sheet, square, crowded_and_empty])
@pytest.mark.parametrize("k", [4, 16])
def test_as_tight_as_scikit_learn(world: Callable[[np.random.Generator], Array], k: int) -> None:
    codes = world(np.random.default_rng(0))
    clusters = fit_centres(codes, k, np.random.default_rng(1))
    oracle = KMeans(k, n_init=5, random_state=0).fit(codes.reshape(len(codes), -1).astype(np.float64))
    assert clusters.inertia <= 1.02 * oracle.inertia_
    assert clusters.inertia == pytest.approx(inertia_of(clusters, codes), rel=1e-4)


def test_known_centres_are_found_again() -> None:
    codes, labels, centres = blobs(np.random.default_rng(3), 12, 1200, 0.1)
    clusters = fit_centres(codes, 12, np.random.default_rng(0))
    distances = np.sqrt(((centres[:, None] - clusters.centres) ** 2).sum(axis=(2, 3)))
    assert distances.min(axis=1).max() < 0.1
    matched = np.argmin(distances, axis=1)
    assert sorted(matched.tolist()) == list(range(12))
    assert clusters.counts[matched].tolist() == np.bincount(labels).tolist()


def test_many_codes_go_through_mini_batches_and_are_found_too() -> None:
    codes, labels, centres = blobs(np.random.default_rng(5), 8, SEEDING_SAMPLE + 5000, 0.2)
    clusters = fit_centres(codes, 8, np.random.default_rng(0), restarts=1)
    distances = np.sqrt(((centres[:, None] - clusters.centres) ** 2).sum(axis=(2, 3)))
    assert distances.min(axis=1).max() < 0.05
    assert sorted(clusters.counts.tolist()) == sorted(np.bincount(labels).tolist())


def test_rare_codes_that_seeding_overlooks_still_get_centres() -> None:
    """Seeding looks at fewer codes than there are and meets three values only; empty clusters must find the rest."""
    common = np.repeat(np.eye(3, 4, dtype=np.float32), SEEDING_SAMPLE, axis=0)
    rare = 10 + 10 * np.arange(5, dtype=np.float32)[:, None] * np.ones(4, np.float32)
    codes = np.concatenate([common, rare])[:, None]
    clusters = fit_centres(codes, 7, np.random.default_rng(0), restarts=1)
    # Two neighbours among the rare ones, 20 apart, share a centre: 2 · 10² is the least that seven centres can leave.
    assert clusters.counts.tolist() == [SEEDING_SAMPLE] * 3 + [2, 1, 1, 1]
    assert clusters.inertia == pytest.approx(200)


def test_the_same_dice_give_the_same_centres() -> None:
    codes = normalised_codes(np.random.default_rng(0))[:300]
    first, second, other = (fit_centres(codes, 8, np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert first.centres.tobytes() == second.centres.tobytes()
    assert first.counts.tolist() == second.counts.tolist()
    assert first.inertia == pytest.approx(other.inertia, rel=0.02)


def test_shapes_dtypes_and_order() -> None:
    codes = normalised_codes(np.random.default_rng(0))[:300]
    clusters = fit_centres(codes, 8, np.random.default_rng(0))
    assert clusters.centres.shape == (8, 3, 16)
    assert [clusters.centres.dtype, clusters.counts.dtype] == [np.dtype(np.float32), np.dtype(np.int64)]
    assert clusters.counts.sum() == len(codes)
    assert clusters.counts.tolist() == sorted(clusters.counts.tolist(), reverse=True)


def test_one_centre_is_the_mean() -> None:
    codes = normalised_codes(np.random.default_rng(0))
    clusters = fit_centres(codes, 1, np.random.default_rng(0))
    np.testing.assert_allclose(clusters.centres[0], codes.mean(axis=0, dtype=np.float64), atol=1e-6)
    assert clusters.counts.tolist() == [len(codes)]


def test_fewer_codes_than_centres_give_the_codes() -> None:
    codes = np.arange(6, dtype=np.float32).reshape(3, 1, 2)
    clusters = fit_centres(codes, 16, np.random.default_rng(0))
    assert sorted(clusters.centres.tolist()) == codes.tolist()
    assert (clusters.counts.tolist(), clusters.inertia) == ([1, 1, 1], 0.0)


def test_repeated_codes_count_once() -> None:
    """A zero and a negative zero are the same number."""
    codes = np.array([[[1, 0]], [[2, 0]], [[1, -0.0]], [[1, 0]]], np.float32)
    clusters = fit_centres(codes, 4, np.random.default_rng(0))
    assert clusters.centres.tolist() == [[[1, 0]], [[2, 0]]]
    assert clusters.counts.tolist() == [3, 1]


def test_all_codes_alike_give_one_centre() -> None:
    clusters = fit_centres(np.full((50, 2, 3), 0.5, np.float32), 8, np.random.default_rng(0))
    assert clusters.centres.tolist() == [[[0.5] * 3] * 2]
    assert clusters.counts.tolist() == [50]


def test_codes_far_from_the_origin_lose_no_digits() -> None:
    codes, labels, _ = blobs(np.random.default_rng(4), 5, 500, 0.05)
    clusters = fit_centres(codes + 3000, 5, np.random.default_rng(0))
    assert sorted(clusters.counts.tolist()) == sorted(np.bincount(labels).tolist())


@pytest.mark.parametrize("shape", [(0, 1, 2), (3, 0, 2), (3, 1, 0), (3, 2), (3,), ()])
def test_codes_that_are_none_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"codes to cluster have shape .*wanted \(N, n, d\).*give some codes"):
        fit_centres(np.zeros(shape), 2, np.random.default_rng(0))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_codes_that_are_not_finite_are_counted_and_refused(value: float) -> None:
    codes = np.zeros((4, 1, 2), np.float32)
    codes[1] = codes[3, 0, 1] = value
    with pytest.raises(DataError, match="2 of 4 codes to cluster are not finite; leave them out"):
        fit_centres(codes, 2, np.random.default_rng(0))


@pytest.mark.parametrize("k", [0, -1, MAX_PROTOTYPES + 1])
def test_a_number_of_centres_that_makes_no_sense_is_refused(k: int) -> None:
    with pytest.raises(DataError, match=rf"{k} centres were asked for; wanted 1\.\.65535"):
        fit_centres(np.zeros((4, 1, 2)), k, np.random.default_rng(0))


def test_no_restarts_are_refused() -> None:
    with pytest.raises(DataError, match="0 restarts were asked for; wanted at least 1"):
        fit_centres(np.zeros((4, 1, 2)), 2, np.random.default_rng(0), restarts=0)
