"""The linear map: a known linear world found again, and what ridge regression must satisfy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge  # type: ignore[import-untyped]

from persona.errors import DataError
from persona.prototypes.local_map import fit_map


def linear_world(n: int, width: int) -> tuple[Any, Any, Any, Any]:
    """Return features (n, width), their codes (n, 2, 3), and the weight and bias that made them."""
    rng = np.random.default_rng(0)
    features, weight, bias = rng.normal(size=(n, width)) + 2, rng.normal(size=(width, 6)), rng.normal(size=6)
    return features, (features @ weight + bias).reshape(n, 2, 3), weight, bias


def test_a_linear_world_is_found_again() -> None:
    features, codes, weight, bias = linear_world(200, 8)
    found, shift = fit_map(features, codes, ridge=1e-9)
    np.testing.assert_allclose(found, weight, atol=1e-5)
    np.testing.assert_allclose(shift, bias, atol=1e-5)
    assert {found.dtype, shift.dtype} == {np.dtype(np.float32)}


def test_more_features_than_windows_still_fit() -> None:
    features, codes, _, _ = linear_world(20, 50)
    weight, bias = fit_map(features, codes, ridge=1e-9)
    assert (weight.shape, bias.shape) == ((50, 6), (6,))
    np.testing.assert_allclose(features @ weight + bias, codes.reshape(20, 6), atol=1e-4)


@pytest.mark.parametrize(("n", "width"), [(60, 10), (10, 60), (30, 30)])
@pytest.mark.parametrize("ridge", [1e-3, 1.0])
def test_both_sides_of_the_closed_form_agree_with_scikit_learn(n: int, width: int, ridge: float) -> None:
    rng = np.random.default_rng(1)
    features, codes = rng.normal(size=(n, width)), rng.normal(size=(n, 1, 4))
    weight, bias = fit_map(features, codes, ridge)
    penalty = ridge * n * float(np.mean((features - features.mean(axis=0)) ** 2))
    oracle = Ridge(alpha=penalty).fit(features, codes.reshape(n, -1))
    np.testing.assert_allclose(weight, oracle.coef_.T, atol=1e-5)
    np.testing.assert_allclose(bias, oracle.intercept_, atol=1e-5)


def test_the_ridge_does_not_depend_on_the_unit_of_the_features() -> None:
    features, codes, _, _ = linear_world(40, 8)
    weight, bias = fit_map(features, codes)
    scaled, shift = fit_map(features * 1000, codes)
    np.testing.assert_allclose(scaled * 1000, weight, rtol=1e-4)
    np.testing.assert_allclose(shift, bias, rtol=1e-4)


def test_features_that_tell_nothing_give_the_mean_code() -> None:
    codes = np.arange(12.0).reshape(3, 2, 2)
    weight, bias = fit_map(np.ones((3, 5)), codes)
    assert not weight.any()
    assert bias.tolist() == codes.mean(axis=0).reshape(-1).tolist()


def test_one_window_is_enough_for_a_bias() -> None:
    weight, bias = fit_map(np.ones((1, 5)), np.full((1, 1, 2), 3.0))
    assert not weight.any()
    assert bias.tolist() == [3, 3]


@pytest.mark.parametrize(
    ("features", "codes"),
    [((3, 4), (2, 1, 2)), ((3,), (3, 1, 2)), ((3, 4), (3, 2)), ((0, 4), (0, 1, 2)), ((3, 0), (3, 1, 2))],
)
def test_shapes_that_do_not_fit_are_refused(features: tuple[int, ...], codes: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"features have shape .*wanted \(N, F\) and \(N, n, d\)"):
        fit_map(np.zeros(features), np.zeros(codes))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_entries_that_are_not_finite_are_refused(value: float) -> None:
    for features, codes in (
        (np.full((2, 3), value), np.zeros((2, 1, 1))),
        (np.zeros((2, 3)), np.full((2, 1, 1), value)),
    ):
        with pytest.raises(DataError, match="not finite; leave those windows out"):
            fit_map(features, codes)


@pytest.mark.parametrize("ridge", [0.0, -1.0, math.nan, math.inf])
def test_a_ridge_that_is_not_positive_is_refused(ridge: float) -> None:
    with pytest.raises(DataError, match=r"the ridge is .*; wanted a positive number"):
        fit_map(np.zeros((2, 3)), np.zeros((2, 1, 1)), ridge)
