from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from persona.errors import DataError
from persona.tasks.vision import DeviceStream, Domain, ImageSet, StreamShape, load_images, make_streams
from tests.tasks.vision.pictures import numbered, numbers_of

SHAPE = StreamShape(windows_per_segment=3, window_size=8)
GOLDEN_SEED = 2026
GOLDEN_DOMAINS = [
    "rotation 0.65 + gamma 0.73",
    "impulse_noise 0.51",
    "rotation 0.65 + gamma 0.73",
    "rotation 0.31 + occlusion 0.44",
]
GOLDEN_FIRST_LABELS = [0, 8, 4, 2, 7, 4, 1, 0]
GOLDEN_MEANS = [0.15898, 0.28007, 0.14135, 0.28591]


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return load_images().test


def test_streams_run_a_b_a_c(images: ImageSet) -> None:
    (stream,) = make_streams(images, "seen", 1, seed=0, shape=SHAPE)
    windows = list(stream)
    assert len(windows) == len(stream) == 12
    assert [window.segment for window in windows] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert [window.first for window in windows] == [True, False, False] * 4
    a, b, again, c = (windows[at].domain for at in (0, 3, 6, 9))
    assert a == again
    assert len({a, b, c}) == 3
    for window in windows:
        assert window.domain == stream.domains[window.segment]
        assert window.x.shape == (8, 1, 28, 28)
        assert window.x.dtype == np.float32
        assert window.y.shape == (8,)


def test_a_stream_is_golden(images: ImageSet) -> None:
    (stream,) = make_streams(images, "seen", 1, seed=GOLDEN_SEED, shape=SHAPE)
    windows = list(stream)
    assert [domain.name for domain in stream.domains] == GOLDEN_DOMAINS
    assert windows[0].y.tolist() == GOLDEN_FIRST_LABELS
    means = [float(windows[at].x.mean()) for at in (0, 3, 6, 9)]
    assert means == pytest.approx(GOLDEN_MEANS, abs=1e-4)


def test_iterating_twice_gives_the_same(images: ImageSet) -> None:
    (stream,) = make_streams(images, "held", 1, seed=0, shape=SHAPE)
    for one, two in zip(stream, stream, strict=True):
        assert np.array_equal(one.x, two.x)
        assert np.array_equal(one.y, two.y)


def test_a_device_does_not_depend_on_how_many_there_are(images: ImageSet) -> None:
    few, many = (make_streams(images, "seen", n, seed=3, shape=SHAPE) for n in (2, 5))
    for one, same in zip(few, many, strict=False):
        assert one.domains == same.domains
        assert all(np.array_equal(x.x, y.x) for x, y in zip(one, same, strict=True))


def test_devices_and_seeds_differ(images: ImageSet) -> None:
    streams = [*make_streams(images, "seen", 5, seed=0), *make_streams(images, "seen", 5, seed=1)]
    assert len({domain for stream in streams for domain in stream.domains}) == 30


def test_clean_streams_stay_clean() -> None:
    (stream,) = make_streams(numbered(per_class=20), "clean", 1, seed=0, shape=SHAPE)
    for window in stream:
        assert window.domain == Domain()
        assert np.array_equal(numbers_of(window.x) % 10, window.y)


def test_no_image_comes_twice_in_a_segment() -> None:
    (stream,) = make_streams(numbered(per_class=20), "clean", 1, seed=0, shape=SHAPE)
    seen = np.stack([numbers_of(window.x) for window in stream]).reshape(4, 24)
    assert all(len(set(segment)) == 24 for segment in seen)


def _class_shares(images: ImageSet, shape: StreamShape) -> Any:
    stacked = np.stack([window.y for s in make_streams(images, "clean", 20, 0, shape) for window in s])
    segments = stacked.reshape(-1, shape.segment_size)
    return np.stack([np.bincount(segment, minlength=10) for segment in segments]) / shape.segment_size


def test_skewed_segments_keep_to_a_few_classes_and_change_them(images: ImageSet) -> None:
    iid = _class_shares(images, StreamShape())
    skew = _class_shares(images, StreamShape(labels="skew"))
    sharper = _class_shares(images, StreamShape(labels="skew", concentration=0.1))
    assert iid.max() < 0.25
    assert sharper.max(axis=1).mean() > skew.max(axis=1).mean() + 0.1 > 0.5
    favourites = skew.argmax(axis=1).reshape(20, 4)
    assert np.mean([len(set(device)) for device in favourites]) > 2.5


def test_a_segment_longer_than_a_class_still_runs() -> None:
    (stream,) = make_streams(numbered(per_class=2), "clean", 1, 0, StreamShape(5, 32, "skew"))
    assert sum(len(window.y) for window in stream) == 4 * 5 * 32


@pytest.mark.parametrize(
    "changes",
    [
        {"windows_per_segment": 0},
        {"window_size": -1},
        {"labels": "mixed"},
        {"concentration": 0.0},
        {"concentration": float("nan")},
    ],
)
def test_shapes_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=f"{next(iter(changes))}=.*cannot be drawn"):
        StreamShape(**changes)


def test_a_stream_needs_images_and_domains(images: ImageSet) -> None:
    with pytest.raises(DataError, match="2000 images and 0 domains"):
        DeviceStream(images, ())
    with pytest.raises(DataError, match="0 images and 1 domains"):
        DeviceStream(images.take(np.arange(0)), (Domain(),))
