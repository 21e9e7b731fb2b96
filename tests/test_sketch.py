"""Sketches: worked by hand, a commutative monoid under merge, and the same in parts as in one go."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from persona.edit import Array
from persona.errors import EditError, SpecError
from persona.sketch import FEATURE_LIMIT, VARIANCE_FLOOR, Sketch, SketchSpec, TapSpec
from tests.tiny_bundles import floats, tiny_sketch

SPEC = SketchSpec.unscaled((TapSpec("a", 2), TapSpec("b", 1, order=1)), 2)  # M = 5, F = 7
# Sums of small dyadic numbers are exact, so that laws hold to the bit.
DYADIC = st.integers(-64, 64).map(lambda n: n / 8)
ANY_FLOAT32 = st.floats(width=32)


def batches(elements: st.SearchStrategy[float] = DYADIC, largest: int = 6) -> st.SearchStrategy[Any]:
    """Draw (moments, logits) of one batch."""
    return st.integers(0, largest).flatmap(
        lambda n: st.tuples(
            arrays(np.float32, (n, SPEC.n_moments), elements=elements),
            arrays(np.float32, (n, SPEC.n_classes), elements=elements),
        )
    )


def same(a: Sketch, b: Sketch) -> bool:
    """Counts and moments to the bit, probabilities to rounding."""
    return (
        a.count == b.count
        and np.array_equal(a.moments, b.moments)
        and np.allclose(a.classes, b.classes, rtol=1e-12, atol=1e-12)
    )


def test_widths_by_hand() -> None:
    assert (SPEC.n_moments, SPEC.n_features) == (5, 7)
    assert SPEC.slices == (slice(0, 4), slice(4, 5))


def test_features_by_hand() -> None:
    """Two samples: inputs 1 and 3 in one channel, so mean 2, variance 1; both of class 0 and 1 evenly."""
    spec = SketchSpec.unscaled((TapSpec("x", 1),), 2)
    sketch = Sketch.of(spec, [[1, 1], [3, 9]], [[0, 0], [5, 5]])
    np.testing.assert_allclose(sketch.features(spec), [2, math.log(1 + VARIANCE_FLOOR), 0.5, 0.5], rtol=1e-6)


def test_a_tap_of_order_one_keeps_its_mean() -> None:
    sketch = Sketch.of(SPEC, [[0, 0, 0, 0, 7], [0, 0, 0, 0, 9]], [[0, 0], [0, 0]])
    assert sketch.tap_features(SPEC)[-1] == 8


def test_standardisation_and_its_limit() -> None:
    """Centre 0.5 and scale 0.5 for the classes; a mean of 1e6 is cut at the limit."""
    features = Sketch.of(tiny_sketch(), [[1, -1e6, 0, 1, 1e12, 0]], [[50, -50]]).features(tiny_sketch())
    assert features[0] == 2
    assert features[1] == -FEATURE_LIMIT
    np.testing.assert_allclose(features[6:], [1, -1], atol=1e-6)


def test_first_tap_alone() -> None:
    sketch = Sketch.of(SPEC, [[1, 2, 1, 4, 7]], [[0, 0]])
    np.testing.assert_allclose(sketch.tap_features(SPEC, 1), [1, 2, *[math.log(VARIANCE_FLOOR)] * 2])


def test_an_empty_sketch_has_zero_features() -> None:
    assert not Sketch.empty(tiny_sketch()).features(tiny_sketch()).any()
    assert same(Sketch.of(SPEC, np.zeros((0, 5)), np.zeros((0, 2))), Sketch.empty(SPEC))


@given(batches(), batches(), batches())
def test_merge_is_a_commutative_monoid(first: Any, second: Any, third: Any) -> None:
    a, b, c = (Sketch.of(SPEC, *batch) for batch in (first, second, third))
    assert same(a.merge(b), b.merge(a))
    assert same(a.merge(b).merge(c), a.merge(b.merge(c)))
    assert same(a.merge(Sketch.empty(SPEC)), a)
    assert same(Sketch.empty(SPEC).merge(a), a)


@given(batches(largest=9), st.data())
def test_parts_merge_to_the_whole(batch: Any, data: st.DataObject) -> None:
    moments, logits = batch
    cut = data.draw(st.integers(0, len(moments)))
    parts = Sketch.of(SPEC, moments[:cut], logits[:cut]).merge(Sketch.of(SPEC, moments[cut:], logits[cut:]))
    whole = Sketch.of(SPEC, moments, logits)
    assert same(parts, whole)
    np.testing.assert_allclose(parts.features(SPEC), whole.features(SPEC), rtol=1e-6, atol=1e-6)


@given(batches(elements=ANY_FLOAT32))
def test_features_are_finite_and_limited_whatever_came_in(batch: Any) -> None:
    """Samples that are not finite are left out, and no finite float32 overflows on the way."""
    sketch = Sketch.of(SPEC, *batch)
    features = sketch.features(SPEC)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert np.abs(features).max() <= FEATURE_LIMIT
    whole = np.isfinite(batch[0]).all(axis=1) & np.isfinite(batch[1]).all(axis=1)
    assert sketch.count == whole.sum()


def test_one_broken_sample_does_not_poison_the_window() -> None:
    moments, logits = np.ones((3, 5)), np.zeros((3, 2))
    moments[1, 0], logits[2, 1] = math.nan, math.inf
    assert same(Sketch.of(SPEC, moments, logits), Sketch.of(SPEC, np.ones((1, 5)), np.zeros((1, 2))))


def test_without_classes_logits_only_tell_broken_samples() -> None:
    spec = SketchSpec.unscaled((TapSpec("x", 1),), 0)
    sketch = Sketch.of(spec, [[1, 1], [2, 4]], [1.0, math.nan])
    assert (sketch.count, sketch.moments.tolist(), sketch.classes.size) == (1, [1, 1], 0)
    assert sketch.features(spec).shape == (2,)


@pytest.mark.parametrize(
    ("moments", "logits"), [((2, 4), (2, 2)), ((5,), (5, 2)), ((2, 5), (3, 2)), ((2, 5), ()), ((2, 5, 1), (2, 2))]
)
def test_moments_of_another_shape_are_refused(moments: tuple[int, ...], logits: tuple[int, ...]) -> None:
    with pytest.raises(EditError, match=r"moments have shape .*wanted \(N, 5\)"):
        Sketch.of(SPEC, np.zeros(moments), np.zeros(logits))


@pytest.mark.parametrize("logits", [(2,), (2, 1), (2, 3), (2, 2, 1)])
def test_logits_of_another_shape_are_refused(logits: tuple[int, ...]) -> None:
    with pytest.raises(EditError, match=r"logits have shape .*this sketch needs \(N, 2\)"):
        Sketch.of(SPEC, np.zeros((2, 5)), np.zeros(logits))


def test_sketches_of_different_specs_do_not_merge() -> None:
    with pytest.raises(EditError, match="5 moments, 2 classes and of 6, 2 cannot merge"):
        Sketch.empty(SPEC).merge(Sketch.empty(tiny_sketch()))


def test_json_there_and_back() -> None:
    spec = tiny_sketch()
    again = SketchSpec.from_json(spec.to_json(), spec.center, spec.scale)
    assert (again.taps, again.n_classes) == (spec.taps, spec.n_classes)
    assert again.to_json() == spec.to_json()


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"taps": 3, "n_classes": 2},
        {"taps": [{"name": "x"}], "n_classes": 2},
        {"taps": [], "n_classes": math.inf},
    ],
)
def test_malformed_json_is_a_spec_error(value: Any) -> None:
    with pytest.raises(SpecError, match="a sketch spec in JSON is malformed"):
        SketchSpec.from_json(value, floats(0), floats(1))


@pytest.mark.parametrize("taps", [(), (TapSpec("x", 0),), (TapSpec("x", 1, order=3),)])
def test_taps_that_make_no_sense_are_refused(taps: tuple[TapSpec, ...]) -> None:
    with pytest.raises(SpecError, match="taps of at least one channel and of order 1 or 2"):
        SketchSpec.unscaled(taps, 0)


def test_negative_classes_are_refused() -> None:
    with pytest.raises(SpecError, match="-1 classes; wanted 0"):
        SketchSpec((TapSpec("x", 1),), -1, floats(0), floats(1))


@pytest.mark.parametrize(
    ("center", "scale", "message"),
    [
        (floats(0), floats(1, 1), r"center has shape \(1,\); wanted \(2,\), all finite"),
        (floats(0, math.nan), floats(1, 1), "center .*all finite"),
        (floats(0, 0), floats(1, math.inf), "scale .*all finite"),
        (floats(0, 0), floats(1, 0), "not positive"),
    ],
)
def test_a_standardisation_that_does_not_fit_is_refused(center: Array, scale: Array, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        SketchSpec((TapSpec("x", 1),), 0, center, scale)
