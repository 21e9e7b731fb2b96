"""The jump test: a distance by hand, and what counts as a jump."""

from __future__ import annotations

import math

import numpy as np
import pytest

from persona.edit import Array
from persona.errors import SpecError
from persona.jump import JumpSpec
from persona.sketch import Sketch, SketchSpec, TapSpec
from tests.tiny_bundles import floats

# The first tap keeps means alone, so that distances are easy; the second must not matter.
SPEC = SketchSpec.unscaled((TapSpec("first", 2, order=1), TapSpec("second", 1, order=1)), 0)
JUMP = JumpSpec(floats(0.5, 2), 2.0, 8)


def window(*moments: float, samples: int = 4) -> Sketch:
    """Return a sketch of equal samples."""
    return Sketch.of(SPEC, [moments] * samples, np.zeros((samples, 0)))


def test_distance_by_hand() -> None:
    """Differences 1 and 4 are 2 and 2 noises; the root mean square is 2. The second tap is not looked at."""
    assert JUMP.distance(SPEC, window(0, 0, 0), window(1, 4, 99)) == pytest.approx(2)


def test_distance_is_symmetric_and_zero_at_home() -> None:
    a, b = window(1, 2, 3), window(-2, 5, 3, samples=9)
    assert JUMP.distance(SPEC, a, b) == JUMP.distance(SPEC, b, a) > 0
    assert JUMP.distance(SPEC, a, a) == 0


def test_only_beyond_the_threshold_is_a_jump() -> None:
    assert not JUMP.jumped(SPEC, window(0, 0, 0), window(1, 4, 0))
    assert JUMP.jumped(SPEC, window(0, 0, 0), window(1.01, 4, 0))


def test_an_empty_window_is_no_jump() -> None:
    empty, far = Sketch.empty(SPEC), window(100, 100, 0)
    assert not JUMP.jumped(SPEC, empty, far)
    assert not JUMP.jumped(SPEC, far, empty)


@pytest.mark.parametrize(
    "noise", [floats(), floats([1, 1]), floats(1, 0), floats(1, -1), floats(1, math.nan), floats(1, math.inf)]
)
def test_a_noise_that_makes_no_sense_is_refused(noise: Array) -> None:
    with pytest.raises(SpecError, match=r"a jump test's noise has shape .*wanted \(F1,\) of positive numbers"):
        JumpSpec(noise, 1.0, 1)


@pytest.mark.parametrize(("threshold", "window_"), [(0, 8), (-1, 8), (math.nan, 8), (math.inf, 8), (1, 0)])
def test_a_threshold_or_window_that_makes_no_sense_is_refused(threshold: float, window_: int) -> None:
    with pytest.raises(SpecError, match=r"threshold .*window .*wanted both positive"):
        JumpSpec(floats(1), threshold, window_)
