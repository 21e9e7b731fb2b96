"""The memory of recent data: exact, bounded, and blind to how samples were batched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona.device.recent import Recent
from persona.edit import Array
from persona.sketch import Sketch, SketchSpec, TapSpec

SPEC = SketchSpec.unscaled((TapSpec("first", 2), TapSpec("second", 3, 1)), 2)


def rows(count: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """Return samples (count, 5), moments (count, 7), logits (count, 2)."""
    rng = np.random.default_rng(seed)
    x, moments, logits = (rng.normal(size=(count, width)).astype(np.float32) for width in (5, SPEC.n_moments, 2))
    return x, moments, logits


def filled(count: int, sizes: list[int], limit: int) -> Recent:
    """Return a memory that met `count` samples in batches of sizes that repeat."""
    recent = Recent(SPEC, limit, with_samples=True)
    samples, start, turn = rows(count), 0, 0
    while start < count:
        stop = start + sizes[turn % len(sizes)]
        recent.add(*(part[start:stop] for part in samples))
        start, turn = stop, turn + 1
    return recent


@given(
    count=st.integers(1, 80),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    limit=st.integers(1, 50),
)
def test_batches_of_any_size_give_the_sketch_of_the_last_samples(count: int, sizes: list[int], limit: int) -> None:
    found, one_by_one = filled(count, sizes, limit), filled(count, [1], limit)
    x, moments, logits = (part[-limit:] for part in rows(count))
    wanted = Sketch.of(SPEC, moments, logits)
    for recent in (found, one_by_one):
        sketch = recent.sketch()
        assert len(recent) == sketch.count == wanted.count
        np.testing.assert_array_equal(sketch.moments, wanted.moments)
        np.testing.assert_array_equal(sketch.classes, wanted.classes)
        np.testing.assert_array_equal(recent.samples(), x)


def test_an_empty_memory_has_an_empty_sketch() -> None:
    recent = Recent(SPEC, 4, with_samples=False)
    assert recent.sketch().count == len(recent) == 0
    recent.add(*rows(3))
    recent.clear()
    assert recent.sketch().count == len(recent) == 0


def test_samples_are_kept_only_where_they_are_read() -> None:
    recent = Recent(SPEC, 4, with_samples=False)
    recent.add(*rows(3))
    assert not len(recent.samples())


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_sample_that_is_not_finite_is_left_out_everywhere(part: int) -> None:
    arrays = rows(5)
    arrays[part][2, 1] = np.nan
    recent = Recent(SPEC, 10, with_samples=True)
    recent.add(*arrays)
    np.testing.assert_array_equal(recent.samples(), np.delete(arrays[0], 2, axis=0))
    assert recent.sketch().count == len(recent) == 4


def test_what_came_before_the_window_can_be_forgotten() -> None:
    recent = Recent(SPEC, 10, with_samples=True)
    arrays = rows(9)
    recent.add(*(part[:4] for part in arrays))
    recent.start_window()
    recent.add(*(part[4:6] for part in arrays))
    recent.add(*(part[6:] for part in arrays))
    recent.keep_window()
    np.testing.assert_array_equal(recent.samples(), arrays[0][4:])


def test_what_is_handed_out_does_not_change_afterwards() -> None:
    recent = Recent(SPEC, 3, with_samples=True)
    recent.add(*rows(3))
    samples = recent.samples()
    before = samples.copy()
    recent.add(*rows(3, seed=1))
    np.testing.assert_array_equal(samples, before)


def test_logits_as_wide_as_a_catalogue_are_not_kept_without_a_histogram() -> None:
    spec = SketchSpec.unscaled((TapSpec("first", 2),), 0)
    recent = Recent(spec, 4, with_samples=False)
    recent.add(np.zeros((6, 5), np.float32), np.ones((6, 4), np.float32), np.zeros((6, 1_000_000), np.float32))
    assert recent.sketch().count == 4
    assert recent._logits.values().nbytes == 0
