"""A whole bank from codes and features: in a world where features tell the group, the map picks its prototype."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.cluster import KMeans  # type: ignore[import-untyped]

from persona.errors import DataError
from persona.prototypes.bank import make_bank
from persona.prototypes.metric import metric_factor

Floats = npt.NDArray[np.float32]


def grouped_world(rng: np.random.Generator, n: int) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Return codes (n, 2, 3) near one of four corners, features (n, 12) that show which with noise, and which."""
    corners = np.array([[2, 2], [2, -2], [-2, 2], [-2, -2]], np.float32)
    labels = np.arange(n) % 4
    codes = np.repeat(corners[labels][:, :, None], 3, axis=2) + 0.1 * rng.normal(size=(n, 2, 3))
    features = np.concatenate([corners[labels], np.zeros((n, 10))], axis=1) + 0.2 * rng.normal(size=(n, 12))
    return codes.astype(np.float32), features.astype(np.float32), labels


def test_the_map_picks_what_the_codes_would() -> None:
    rng = np.random.default_rng(0)
    codes, features, _ = grouped_world(rng, 200)
    bank = make_bank(codes, features, 4, rng)
    assert (len(bank), bank.code_shape, bank.version) == (4, (2, 3), 1)
    assert bank.counts.tolist() == [50] * 4
    fresh_codes, fresh_features, _ = grouped_world(rng, 100)
    assert [bank.nearest(row) for row in fresh_features] == bank.assign(fresh_codes).tolist()


def test_prototype_0_is_the_most_common() -> None:
    codes = np.array([0, 1, 1, 5, 5, 5], np.float32).reshape(6, 1, 1)
    bank = make_bank(codes, codes[:, 0], 3, np.random.default_rng(0))
    assert bank.codes.reshape(-1).tolist() == [5, 1, 0]
    assert bank.counts.tolist() == [3, 2, 1]


def world_with_a_loud_direction(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return codes (300, 1, 2): two groups by their first entry, which edits depend on; the wide second is noise."""
    codes = np.stack([np.repeat([-1, 1], 150) + 0.1 * rng.normal(size=300), 9 * rng.normal(size=300)], axis=1)
    return codes[:, None].astype(np.float32), codes.astype(np.float32)


def test_under_a_metric_groups_are_those_of_the_edits() -> None:
    rng = np.random.default_rng(0)
    codes, features = world_with_a_loud_direction(rng)
    metric = np.diag([1, 0.01]).astype(np.float32)
    bank = make_bank(codes, features, 2, rng, metric=metric)
    assert bank.metric is metric
    assert bank.counts.tolist() == [150, 150]
    assert sorted(bank.codes[:, 0, 0].tolist()) == pytest.approx([-1, 1], abs=0.03)
    assert len(set(bank.assign(codes)[:150].tolist())) == 1
    euclid = make_bank(codes, features, 2, rng)
    assert np.ptp(euclid.codes[:, 0, 0]) < 1
    assert np.ptp(euclid.codes[:, 0, 1]) > 5


@pytest.mark.parametrize("k", [3, 8])
def test_under_a_metric_as_tight_as_scikit_learn_on_transformed_codes(k: int) -> None:
    rng = np.random.default_rng(1)
    codes = rng.normal(size=(400, 2, 3)).astype(np.float32)
    root = rng.normal(size=(6, 6))
    metric = metric_factor(root @ root.T)
    bank = make_bank(codes, codes.reshape(400, 6), k, rng, metric=metric)
    inertia = float((bank.distances(codes, bank.assign(codes)) ** 2).sum())
    oracles = [KMeans(k, n_init=3, random_state=seed).fit(codes.reshape(400, 6) @ metric) for seed in range(2)]
    assert inertia <= 1.03 * min(oracle.inertia_ for oracle in oracles)


def test_the_identity_as_metric_is_euclid() -> None:
    codes, features, _ = grouped_world(np.random.default_rng(0), 120)
    euclid, identity = (
        make_bank(codes, features, 4, np.random.default_rng(1), metric=metric)
        for metric in (None, np.eye(6, dtype=np.float32))
    )
    np.testing.assert_allclose(identity.codes, euclid.codes, atol=1e-6)
    assert identity.counts.tolist() == euclid.counts.tolist()


@pytest.mark.parametrize("metric", [None, np.diag([1, 0.01]).astype(np.float32)])
def test_medoids_are_the_real_codes_nearest_to_the_means(metric: Floats | None) -> None:
    codes, features = world_with_a_loud_direction(np.random.default_rng(2))
    means = make_bank(codes, features, 3, np.random.default_rng(0), metric=metric)
    medoids = make_bank(codes, features, 3, np.random.default_rng(0), centre="medoid", metric=metric)
    real = {row.tobytes() for row in codes}
    assert all(code.tobytes() in real for code in medoids.codes)
    nearest = {codes[np.argmin(means.distances(codes, [k]))].tobytes() for k in range(3)}
    assert {code.tobytes() for code in medoids.codes} == nearest
    assert medoids.counts.tolist() == np.bincount(medoids.assign(codes)).tolist()
    assert medoids.counts.tolist() == sorted(medoids.counts.tolist(), reverse=True)


def test_another_kind_of_centre_is_refused() -> None:
    centre: Any = "mode"
    with pytest.raises(DataError, match="asked for as 'mode'; wanted 'mean' or 'medoid'"):
        make_bank(np.zeros((2, 1, 1)), np.zeros((2, 1)), 1, np.random.default_rng(0), centre=centre)


def test_codes_and_features_must_pair_up() -> None:
    with pytest.raises(DataError, match=r"features have shape \(5, 2\), codes \(6, 1, 1\)"):
        make_bank(np.zeros((6, 1, 1)), np.zeros((5, 2)), 2, np.random.default_rng(0))
