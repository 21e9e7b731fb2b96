"""Renormalisation by hand: a scale and a shift that stand for other statistics."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from persona.edit import Array
from persona.errors import SpecError
from persona.renorm import LARGEST_FACTOR, Renorm, RenormLayer
from persona.sketch import Sketch, SketchSpec, TapSpec
from tests.tiny_bundles import floats

TAPS = SketchSpec.unscaled((TapSpec("input", 3), TapSpec("norm", 2), TapSpec("head", 4, 1)), 0)
LAYER = RenormLayer("norm", floats(1, -2), floats(4, 1), floats(3, 0.5), 0.5, 1e-5)
STATISTICS = arrays(np.float32, 2, elements=st.floats(-100, 100, width=32))


def sketch_of(samples: Any) -> Sketch:
    """Return the sketch of samples (N, 2) that reach the layer; other taps see zeros."""
    moments = np.zeros((len(samples), TAPS.n_moments))
    moments[:, 6:8], moments[:, 8:10] = samples, samples.astype(np.float64) ** 2
    return Sketch.of(TAPS, moments, np.zeros((len(samples), 0)))


def normalised(layer: RenormLayer, x: Array, mean: Any, variance: Any, scale: Any, shift: Any) -> Array:
    return np.asarray((x - mean) / np.sqrt(variance + layer.epsilon) * scale + shift)


def test_by_hand() -> None:
    """Device mean 5 and variance 12 mixed with 1 and 4 by halves are 3 and 8: scale 3·(√(4/8) − 1), shift 3·(−2)/√8."""
    layer = replace(LAYER, epsilon=1e-12)
    stretch, shift = layer.settled(floats(5, -2), floats(12, 1))
    np.testing.assert_allclose(stretch, [3 * (math.sqrt(0.5) - 1), 0], atol=1e-6)
    np.testing.assert_allclose(shift, [-6 / math.sqrt(8), 0], atol=1e-6)
    assert stretch.dtype == shift.dtype == np.float32
    # With learned deltas 1 and 0.5 of the first channel, its scale is 4 where it was 3, and its shift moves on by 0.5.
    stretch, shift = layer.settled(floats(5, -2), floats(12, 1), floats(1, 0), floats(0.5, 0.25))
    np.testing.assert_allclose(stretch, [4 * math.sqrt(0.5) - 3, 0], atol=1e-6)
    np.testing.assert_allclose(shift, [0.5 - 8 / math.sqrt(8), 0.25], atol=1e-6)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("learned", [floats([0, 0], [0, 0]), floats([-1.5, 2], [0.5, -0.25])], ids=["none", "some"])
def test_the_edited_layer_is_one_with_mixed_statistics(learned: Array, strength: float) -> None:
    layer, base_shift = replace(LAYER, strength=strength), floats(0.25, -1)
    x = np.random.default_rng(0).normal(2, 3, size=(64, 2)).astype(np.float32)
    mean, variance = x.mean(axis=0), x.var(axis=0)
    pairs = ((mean, layer.mean), (variance, layer.variance))
    stretch, shift = layer.settled(mean, variance, *learned)
    found = normalised(layer, x, layer.mean, layer.variance, layer.scale + stretch, base_shift + shift)
    mixed_mean, mixed = (strength * own + (1 - strength) * base for own, base in pairs)
    wanted = normalised(layer, x, mixed_mean, mixed, layer.scale + learned[0], base_shift + learned[1])
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_a_sketch_gives_the_deltas_of_its_samples() -> None:
    x = np.random.default_rng(1).normal([50, -1], [2, 0.5], size=(200, 2))
    renorm, learned = Renorm((LAYER,)).check(TAPS), {"norm.weight": floats(0.5, -1), "norm.bias": floats(2, 0)}
    for deltas in (None, learned):
        found = renorm.settled(TAPS, sketch_of(x), deltas)
        stretch, shift = LAYER.settled(x.mean(axis=0), x.var(axis=0), *(deltas or {}).values())
        assert found.keys() == learned.keys()
        np.testing.assert_allclose(found["norm.weight"], stretch, atol=1e-6)
        np.testing.assert_allclose(found["norm.bias"], shift, atol=1e-5)


def test_other_deltas_are_passed_on() -> None:
    learned = {"norm.bias": floats(2, 0), "head.bias": floats(3)}
    renorm, sketch = Renorm((LAYER,)), sketch_of(np.ones((2, 2)))
    found = renorm.settled(TAPS, sketch, learned)
    assert found.keys() == {"norm.weight", "norm.bias", "head.bias"}
    assert found["head.bias"] is learned["head.bias"]
    np.testing.assert_array_equal(learned["norm.bias"], [2, 0])
    np.testing.assert_allclose(found["norm.bias"], renorm.settled(TAPS, sketch)["norm.bias"] + [2, 0], atol=1e-6)


def test_outcomes_agree_where_they_differ_by_less_than_a_share_of_the_largest_scale() -> None:
    """The largest scale is 3, so 0.0003 decides."""
    renorm = Renorm((LAYER,))
    one = {"norm.weight": floats(0.5, -1), "norm.bias": floats(2, 0), "head.bias": floats(0)}
    assert renorm.agree(one, one)
    assert renorm.agree(one, {**one, "head.bias": floats(9)})
    for name in ("norm.weight", "norm.bias"):
        assert renorm.agree(one, {**one, name: one[name] + floats(0, 0.0002)})
        assert not renorm.agree(one, {**one, name: one[name] - floats(0, 0.0004)})


def test_nothing_seen_changes_nothing() -> None:
    learned = {"norm.weight": floats(1, 1)}
    assert Renorm((LAYER,)).settled(TAPS, Sketch.empty(TAPS), learned) == learned
    assert Renorm((LAYER,)).settled(TAPS, Sketch.empty(TAPS)) == {}
    assert Renorm().settled(TAPS, sketch_of(np.ones((2, 2))), learned) == learned
    still = LAYER.settled(LAYER.mean, LAYER.variance)
    np.testing.assert_allclose(np.stack(still), np.zeros((2, 2)), atol=1e-6)


@pytest.mark.parametrize("variance", [4.0, 1.0, 0.0])
def test_constant_pictures_stay_finite(variance: float) -> None:
    layer = replace(LAYER, strength=1.0, variance=floats(variance, 1))
    found = Renorm((layer,)).settled(TAPS, sketch_of(np.full((8, 2), 0.7)))
    assert all(np.isfinite(delta).all() for delta in found.values())
    assert np.abs(1 + found["norm.weight"] / layer.scale).max() <= LARGEST_FACTOR * (1 + 1e-6)


@given(STATISTICS, STATISTICS, st.floats(0, 1))
def test_a_scale_never_grows_beyond_its_limit(mean: Array, spread: Array, strength: float) -> None:
    stretch, shift = replace(LAYER, strength=strength).settled(mean, spread**2)
    assert (np.abs(stretch) <= np.abs(LAYER.scale) * (LARGEST_FACTOR - 1) * (1 + 1e-6)).all()
    assert np.isfinite(shift).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": floats(1)}, r"'norm' has shapes .*\(1,\).*wanted three of one \(C,\)"),
        ({"mean": floats([1, 2]), "variance": floats([1, 2]), "scale": floats([1, 2])}, "wanted three of one"),
        ({"mean": floats(), "variance": floats(), "scale": floats()}, "not empty"),
        ({"scale": floats(1, math.nan)}, "entries that are not finite"),
        ({"strength": 1.5}, r"strength 1.5, .*wanted \[0, 1\]"),
        ({"strength": math.nan}, "strength nan"),
        ({"epsilon": 0.0}, "epsilon 0.0"),
        ({"variance": floats(1, -1)}, "least variance -1"),
    ],
)
def test_layers_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        replace(LAYER, **changes)


@pytest.mark.parametrize(
    "tap", [TapSpec("other", 2), TapSpec("norm", 2, 1), TapSpec("norm", 5)], ids=["absent", "mean alone", "channels"]
)
def test_a_layer_without_its_tap_is_named(tap: TapSpec) -> None:
    with pytest.raises(SpecError, match="'norm' needs its input tapped: 2 channels, order 2"):
        Renorm((LAYER,)).check(SketchSpec.unscaled((tap,), 0))


def test_arrays_there_and_back() -> None:
    one = RenormLayer("single", floats(0.5), floats(2), floats(-1), 0.25, 1e-3)
    renorm = Renorm((LAYER, one))
    written = renorm.to_arrays()
    assert written["norm"].tolist() == [[1, -2], [4, 1], [3, 0.5], [0.5, np.float32(1e-5)]]
    assert written["single"].shape == (4, 2)
    again = Renorm.from_arrays(written, {"norm": 2, "single": 1})
    for layer, wanted in zip(again.layers, renorm.layers, strict=True):
        found = layer.settled(floats(3), floats(7))
        np.testing.assert_allclose(np.stack(found), np.stack(wanted.settled(floats(3), floats(7))), atol=1e-6)
        assert layer.name == wanted.name
    assert Renorm.from_arrays({}, {}).layers == ()


@pytest.mark.parametrize("channels", [{}, {"norm": 3}, {"norm": 1, "other": 2}])
def test_arrays_that_do_not_fit_are_named(channels: dict[str, int]) -> None:
    arrays_ = {"norm": np.zeros((4, 5), np.float32)}
    with pytest.raises(SpecError, match=r"'norm' has shape \(4, 5\); wanted \(4, \d\)"):
        Renorm.from_arrays(arrays_, channels)
