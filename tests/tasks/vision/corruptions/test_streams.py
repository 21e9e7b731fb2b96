"""Streams of corruptions: the four settings."""

from __future__ import annotations

import numpy as np
import pytest

from persona.errors import CatalogError, DataError
from persona.tasks.vision import StreamShape, Window, load_images
from persona.tasks.vision.corruptions import CORRUPTION_SETTINGS, CORRUPTIONS, corrupt, corruption_streams
from persona.tasks.vision.corruptions.streams import in_bursts
from tests.tasks.vision.pictures import numbered

IMAGES = load_images().test
SHAPE = StreamShape(windows_per_segment=2, window_size=16)


def _windows(setting: str, seed: int = 0, device: int = 0) -> list[Window]:
    return list(corruption_streams(IMAGES, setting, device + 1, seed, SHAPE)[device])


def _classes(setting: str) -> float:
    return float(np.mean([len(np.unique(window.y)) for window in _windows(setting)]))


@pytest.mark.parametrize("setting", CORRUPTION_SETTINGS)
def test_a_stream_has_thirty_windows_and_is_the_same_twice(setting: str) -> None:
    stream = corruption_streams(IMAGES, setting, 1, 0)[0]
    first, second = next(iter(stream)), next(iter(stream))
    assert (len(stream), first.x.shape, first.x.dtype) == (30, (32, 1, 28, 28), np.float32)
    assert np.array_equal(first.x, second.x)
    assert np.array_equal(first.x, next(iter(corruption_streams(IMAGES, setting, 3, 0)[0])).x)
    assert not np.array_equal(first.x, next(iter(corruption_streams(IMAGES, setting, 1, 1)[0])).x)


@pytest.mark.parametrize("setting", ["continual", "correlated"])
def test_corruptions_come_one_after_another_each_once(setting: str) -> None:
    windows = _windows(setting)
    names = [window.domain.parts[0].family.name for window in windows]
    assert sorted(names) == sorted([*CORRUPTIONS] * 2)
    assert names[::2] == names[1::2]
    assert [window.first for window in windows] == [True, False] * 15
    assert [window.segment for window in windows] == [at // 2 for at in range(30)]
    others = [window.domain.parts[0].family.name for window in _windows(setting, device=1)]
    assert others != names


def test_a_window_shows_its_corruption_at_severity_five() -> None:
    grey = numbered(4)
    grey.images[:] = 100
    for window in corruption_streams(grey, "continual", 1, 0, StreamShape(1, 8))[0]:
        name = window.domain.parts[0].family.name
        if name in ("brightness", "contrast", "jpeg_compression"):
            wanted = corrupt(np.full((8, 1, 4, 4), 100 / 255, np.float32), name, 5, np.random.default_rng(0))
            np.testing.assert_allclose(window.x, wanted, atol=1e-6)


@pytest.mark.parametrize("setting", ["mixed", "mixed-correlated"])
def test_samples_of_a_mixed_window_have_corruptions_of_their_own(setting: str) -> None:
    grey = numbered(40, classes=4)
    grey.images[:] = 100
    windows = list(corruption_streams(grey, setting, 1, 0, StreamShape(1, 32))[0])
    assert [window.first for window in windows] == [True] + [False] * 14
    for window in windows:
        shown = np.round(window.x.reshape(32, -1), 4)
        flat = shown[(shown == shown[:, :1]).all(axis=1)]  # blurs leave grey as it is; brightness does not
        assert 1 < len(flat) < 32
        assert len(np.unique(shown, axis=0)) > 5
    everything = np.concatenate([window.x.reshape(32, -1) for window in windows])
    bright = np.abs(everything - (100 / 255 + 0.42)).max(axis=1) < 1e-4
    assert bright.mean() == pytest.approx(1 / 15, abs=0.04)


def test_correlated_windows_hold_few_classes() -> None:
    assert _classes("continual") > 7
    assert _classes("mixed") > 7
    assert _classes("correlated") < 4
    assert _classes("mixed-correlated") < 4


def test_bursts_only_change_the_order() -> None:
    labels = np.random.default_rng(0).integers(5, size=300)
    ordered = in_bursts(np.arange(300), labels, np.random.default_rng(1))
    assert sorted(ordered.tolist()) == list(range(300))
    changes = (np.diff(labels[ordered]) != 0).sum()
    assert changes < 25 < (np.diff(labels) != 0).sum()


def test_other_settings_skewed_labels_and_few_images_are_refused() -> None:
    with pytest.raises(CatalogError, match="no setting 'sorted' of corruptions; there are continual, mixed"):
        corruption_streams(IMAGES, "sorted", 1, 0)
    with pytest.raises(DataError, match="labels of a stream of corruptions are 'skew'"):
        corruption_streams(IMAGES, "mixed", 1, 0, StreamShape(labels="skew"))
    with pytest.raises(DataError, match="10 images for 1 devices with windows of 32"):
        corruption_streams(numbered(1), "mixed", 1, 0)
