"""The rotated groups."""

from __future__ import annotations

import numpy as np
import pytest

from persona.errors import DataError
from persona.tasks.vision import ImageSet, StreamShape
from persona.tasks.vision.rotated import ANGLES_DEGREES, rotated_episodes, rotated_streams, turned, uneven_groups
from tests.tasks.vision.pictures import numbered, soft

SHAPE = StreamShape(window_size=4)


def test_a_device_for_each_angle_in_their_order() -> None:
    streams = rotated_streams(numbered(4), 11, 0, SHAPE)
    assert len(streams) == 14
    assert [len(stream) for stream in streams] == [2] * 14
    angles = [180 * sum(part.strength for part in stream.scenes[0].domain.parts) for stream in streams]
    np.testing.assert_allclose(angles, range(0, 140, 10))
    assert all(scene.domain == stream.scenes[0].domain for stream in streams for scene in stream.scenes)
    assert all([window.first for window in stream] == [True, False] for stream in streams)
    assert np.array_equal(next(iter(streams[5])).x, next(iter(rotated_streams(numbered(4), 11, 0, SHAPE)[5])).x)


def test_the_angles_are_exact() -> None:
    pictures, rng = soft((2, 1, 9, 9)), np.random.default_rng(0)
    np.testing.assert_array_equal(turned(0).apply(pictures, rng), pictures)
    np.testing.assert_allclose(turned(90).apply(pictures, rng), np.rot90(pictures, 1, axes=(2, 3)), atol=1e-5)
    np.testing.assert_allclose(turned(180).apply(pictures, rng), pictures[:, :, ::-1, ::-1], atol=1e-5)


def test_training_groups_are_uneven_and_share_no_image() -> None:
    sizes = np.bincount(uneven_groups(9000, 0))
    assert (len(sizes), sizes.sum()) == (14, 9000)
    falling = np.sort(sizes)[::-1]
    np.testing.assert_allclose(falling[1:] / falling[:-1], 0.8, atol=0.02)
    assert np.array_equal(uneven_groups(9000, 0), uneven_groups(9000, 0))
    assert np.bincount(uneven_groups(9000, 1)).argmax() != sizes.argmax()


def test_episodes_show_each_group_at_its_own_angle() -> None:
    images = np.zeros((1400, 1, 9, 9), np.uint8)
    images[:, :, 0, 4] = 255  # a mark on top, which a quarter of a turn takes to the left
    episodes = rotated_episodes(ImageSet(images, np.zeros(1400, np.int64)), 0, tasks=40, window=4)
    shown = episodes.sample(np.random.default_rng(0))
    both = np.concatenate([shown.support, shown.query], axis=1)
    assert (both == both[:, :1]).all()
    left = both[:, 0, 0, 4, 0] > 0.9
    top = both[:, 0, 0, 0, 4] > 0.9
    assert left.any()
    assert top.any()
    assert len(np.unique(both[:, 0].reshape(40, -1), axis=0)) > 7
    quarter = episodes.images.images[episodes.groups == ANGLES_DEGREES.index(90)]
    assert (quarter[:, 0, 4, 0] == 255).all()


def test_groups_that_fill_no_window_are_refused() -> None:
    with pytest.raises(DataError, match="groups of 3 images fill no window of 4"):
        rotated_streams(numbered(4), 3, 0, SHAPE)
    with pytest.raises(DataError, match="10 images for 14 devices"):
        rotated_streams(numbered(1), 64, 0, StreamShape())
    with pytest.raises(DataError, match=r"image set of domain \d+ has \d+ images; wanted at least 64"):
        rotated_episodes(numbered(25), 0)
