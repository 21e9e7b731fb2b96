"""The gate: 1 for the windows it was made from, 0 for what lies outside their plane or far out in it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.decomposition import PCA

from persona.edit import Array
from persona.errors import DataError, SpecError
from persona.gate import SketchGate

WIDTH = 12


def windows(count: int, seed: int = 0) -> Array:
    """Return features that lie in a plane: of twelve, two vary much, the rest hardly; the mean is 3 everywhere."""
    rng = np.random.default_rng(seed)
    spread = np.full(WIDTH, 0.1)
    spread[:2] = (2.0, 1.0)
    return (3 + spread * rng.normal(size=(count, WIDTH))).astype(np.float32)


GATE = SketchGate.fit(windows(400))


def test_the_shares_of_new_training_windows_are_as_asked() -> None:
    gate = SketchGate.fit(windows(4000))
    weights = np.array([gate.weight(row) for row in windows(4000, seed=1)])
    assert np.mean(weights == 1) == pytest.approx(0.8, abs=0.03)
    assert np.mean(weights == 0) == pytest.approx(0.02, abs=0.01)
    assert ((weights > 0) & (weights < 1)).any()


@pytest.mark.parametrize("axis", range(WIDTH))
def test_a_window_far_away_in_any_direction_is_strange(axis: int) -> None:
    row = np.full(WIDTH, 3, np.float32)
    assert GATE.weight(row) == 1
    far = row.copy()
    far[axis] += 12
    assert GATE.weight(far) == 0


def test_what_is_usual_in_one_feature_is_strange_in_another() -> None:
    usual, strange = np.full((2, WIDTH), 3, np.float32)
    usual[0] += 2
    strange[7] += 2
    assert GATE.weight(usual) == 1
    assert GATE.weight(strange) == 0


def test_the_distance_outside_is_scikit_learns_reconstruction_error() -> None:
    rows, new = windows(400), windows(50, seed=2)
    new[:, 5:] += 2.0  # so that what lies outside outweighs what lies along
    oracle = PCA(4).fit(rows[::2])
    found = np.array([GATE.distance(row) for row in new])
    wanted = np.linalg.norm(new - oracle.inverse_transform(oracle.transform(new)), axis=1)
    np.testing.assert_allclose(found * GATE.limits[0], wanted, rtol=1e-3)


def test_the_weight_falls_along_a_straight_line() -> None:
    full, none = GATE.limits[2:]
    step = np.full(WIDTH, 3, np.float32)
    step[7:] += 0.02
    found = []
    for length in np.linspace(0, 60, 300):
        row = 3 + (step - 3) * np.float32(length)
        found.append((GATE.distance(row), GATE.weight(row)))
    between = [(d, w) for d, w in found if full < d < none]
    assert len(between) > 3
    for distance, weight in between:
        assert weight == pytest.approx((none - distance) / (none - full), abs=1e-6)
    assert found[0][1] == 1
    assert found[-1][1] == 0


@given(arrays(np.float32, WIDTH, elements=st.floats(width=32)))
def test_a_weight_is_a_share_whatever_the_features(row: Array) -> None:
    assert 0 <= GATE.weight(row) <= 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_features_that_are_not_finite_are_strange(value: float) -> None:
    row = np.full(WIDTH, 3, np.float32)
    row[3] = value
    assert GATE.distance(row) == math.inf
    assert GATE.weight(row) == 0


@pytest.mark.parametrize("width", [1, 2, 40])
def test_windows_that_are_all_alike_still_make_a_gate(width: int) -> None:
    gate = SketchGate.fit(np.ones((16, width)))
    assert gate.weight(np.ones(width)) == 1
    assert gate.weight(np.full(width, 2.0)) == 0


def test_arrays_there_and_back() -> None:
    again = SketchGate.from_arrays(GATE.to_arrays())
    for row in windows(20, seed=3):
        assert again.distance(row) == GATE.distance(row)
        assert again.weight(row) == GATE.weight(row)
    assert all(array.dtype == np.float32 for array in GATE.to_arrays().values())


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((15, 3)), r"features \(15, 3\); wanted \(N, F\), N ≥ 16"),
        (np.zeros(32), r"features \(32,\)"),
        (np.zeros((32, 0)), r"features \(32, 0\)"),
        (np.full((32, 3), np.nan), "all finite"),
    ],
)
def test_windows_that_say_nothing_are_refused(features: Array, message: str) -> None:
    with pytest.raises(DataError, match=message):
        SketchGate.fit(features)


@pytest.mark.parametrize("shares", [(0.0, 0.5), (0.9, 0.9), (0.5, 1.1), (math.nan, 0.9)])
def test_shares_that_are_none_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(DataError, match="wanted 0 < familiar < strange"):
        SketchGate.fit(windows(32), *shares)


def test_features_of_another_width_are_refused() -> None:
    with pytest.raises(DataError, match=r"shape \(3,\); this gate needs \(12,\)"):
        GATE.weight(np.zeros(3))


CHANGES: list[tuple[str, Callable[[Array], Array], str]] = [
    ("center", lambda a: a[:5], "directions has shape"),
    ("directions", lambda a: a[:1], "directions has shape"),
    ("spreads", lambda a: a[:0], "directions has shape"),
    ("spreads", lambda a: 0 * a, "least spread 0"),
    ("limits", lambda a: a[:3], r"limits has shape \(3,\); wanted \(4,\)"),
    ("limits", lambda a: a[::-1], "the last limit above the one before"),
    ("limits", lambda a: a * np.nan, "all finite"),
]


@pytest.mark.parametrize(("name", "change", "message"), CHANGES)
def test_arrays_that_do_not_fit_are_named(name: str, change: Callable[[Array], Array], message: str) -> None:
    damaged = GATE.to_arrays()
    with pytest.raises(SpecError, match=message):
        SketchGate.from_arrays({**damaged, name: change(damaged[name])})


@pytest.mark.parametrize("name", ["center", "directions", "limits", "spreads"])
def test_a_missing_array_is_named(name: str) -> None:
    fewer = {key: value for key, value in GATE.to_arrays().items() if key != name}
    with pytest.raises(SpecError, match=f"lacks the array '{name}'"):
        SketchGate.from_arrays(fewer)
