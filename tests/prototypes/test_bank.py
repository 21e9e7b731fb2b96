"""A whole bank from codes and features: in a world where features tell the group, the map picks its prototype."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from persona.errors import DataError
from persona.prototypes.bank import make_bank

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
    bank = make_bank(codes, features, 4, rng, version=3)
    assert (len(bank), bank.code_shape, bank.version) == (4, (2, 3), 3)
    assert bank.counts.tolist() == [50] * 4
    fresh_codes, fresh_features, _ = grouped_world(rng, 100)
    assert [bank.nearest(row) for row in fresh_features] == bank.assign(fresh_codes).tolist()


def test_prototype_0_is_the_most_common() -> None:
    codes = np.array([0, 1, 1, 5, 5, 5], np.float32).reshape(6, 1, 1)
    bank = make_bank(codes, codes[:, 0], 3, np.random.default_rng(0))
    assert bank.codes.reshape(-1).tolist() == [5, 1, 0]
    assert bank.counts.tolist() == [3, 2, 1]


def test_codes_and_features_must_pair_up() -> None:
    with pytest.raises(DataError, match=r"features have shape \(5, 2\), codes \(6, 1, 1\)"):
        make_bank(np.zeros((6, 1, 1)), np.zeros((5, 2)), 2, np.random.default_rng(0))
