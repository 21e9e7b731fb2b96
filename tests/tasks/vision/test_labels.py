from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona.errors import DataError
from persona.tasks.vision.labels import LabelDraw

LABELS = np.arange(1000, dtype=np.int64) % 10


@given(size=st.integers(1, 300), seed=st.integers(0, 1000))
def test_images_come_again_only_after_all_were_used(size: int, seed: int) -> None:
    drawn = LabelDraw.of(LABELS[:100]).iid(size, np.random.default_rng(seed))
    times = np.bincount(drawn, minlength=100)
    assert len(drawn) == size
    assert times.max() - times.min() <= 1


@given(size=st.integers(1, 300), seed=st.integers(0, 1000))
def test_skewed_images_come_again_only_after_all_of_their_class_were_used(size: int, seed: int) -> None:
    labels = LABELS[:100]
    drawn = LabelDraw.of(labels).skewed(size, 0.3, np.random.default_rng(seed))
    times = np.bincount(drawn, minlength=100)
    assert len(drawn) == size
    for label in range(10):
        assert np.ptp(times[labels == label]) <= 1


def _mean_largest_share(skewed: bool) -> float:
    draw, rng = LabelDraw.of(LABELS), np.random.default_rng(0)
    drawn = [draw.skewed(64, 0.3, rng) if skewed else draw.iid(64, rng) for _ in range(200)]
    return float(np.mean([np.bincount(LABELS[indices]).max() / 64 for indices in drawn]))


def test_skew_is_really_skewed_and_iid_is_not() -> None:
    assert _mean_largest_share(skewed=True) > 0.4
    assert _mean_largest_share(skewed=False) < 0.25


def test_skew_favours_no_class_over_many_draws() -> None:
    draw, rng = LabelDraw.of(LABELS), np.random.default_rng(0)
    counts = sum(np.bincount(LABELS[draw.skewed(50, 0.3, rng)], minlength=10) for _ in range(1000))
    np.testing.assert_allclose(counts / 50_000, 0.1, atol=0.02)


def test_classes_that_do_not_occur_are_never_drawn() -> None:
    labels = np.array([3, 3, 7, 7, 7], dtype=np.int64)
    drawn = LabelDraw.of(labels).skewed(5, 0.3, np.random.default_rng(0))
    assert set(labels[drawn]) <= {3, 7}


def test_no_images_is_refused() -> None:
    with pytest.raises(DataError, match="0 images"):
        LabelDraw.of(np.zeros(0, dtype=np.int64))
