"""Streams that drift."""

from __future__ import annotations

import numpy as np
import pytest

from persona.errors import DataError
from persona.tasks.vision import FAMILIES, Domain, Part, StreamShape
from persona.tasks.vision.gradual import DRIFTING, between, drifting_streams, gradual_streams
from tests.tasks.vision.pictures import numbered, soft

IMAGES = numbered(8)
SHAPE = StreamShape(windows_per_segment=5, window_size=4)


@pytest.mark.parametrize("split", ["seen", "held"])
def test_every_step_of_a_gradual_stream_is_the_same_and_no_sign_flips(split: str) -> None:
    for stream in gradual_streams(IMAGES, split, 12, 0, SHAPE):  # type: ignore[arg-type]
        domains = [window.domain for window in stream]
        assert len(domains) == len(stream) == 20
        assert {tuple(part.family.name for part in domain.parts) for domain in domains} == {
            tuple(part.family.name for part in domains[0].parts)
        }
        numbers = np.array([(domain.parts[0].strength, *domain.parts[0].parameters) for domain in domains])
        steps = np.diff(numbers, axis=0)
        np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), atol=1e-12)
        assert (steps[:, 0] != 0).all()
        assert ((numbers[:, 1:] >= 0.5) == (numbers[:1, 1:] >= 0.5)).all()


def test_pictures_change_a_little_from_window_to_window() -> None:
    pictures = soft((4, 1, 28, 28))
    shape = StreamShape(windows_per_segment=50, window_size=4)
    noisy = ("gaussian_noise", "impulse_noise")
    for stream in gradual_streams(IMAGES, "seen", 12, 1, shape):
        path = [scene.domain for scene in stream.scenes]
        if any(part.family.name in noisy for part in path[0].parts):
            continue
        shown = [domain.apply(pictures, np.random.default_rng(0)) for domain in path[::10]]
        near = [path[at + 1].apply(pictures, np.random.default_rng(0)) for at in range(0, 200, 10)]
        assert max(np.abs(a - b).mean() for a, b in zip(shown, near, strict=True)) < 0.03
        assert np.abs(shown[0] - path[-1].apply(pictures, np.random.default_rng(0))).mean() > 0.01


def test_only_the_start_is_a_first_window_and_devices_do_not_depend_on_their_number() -> None:
    few, many = gradual_streams(IMAGES, "seen", 1, 3, SHAPE), gradual_streams(IMAGES, "seen", 3, 3, SHAPE)
    assert [window.first for window in few[0]] == [True] + [False] * 19
    assert {window.segment for window in few[0]} == {0}
    for a, b, again in zip(few[0], many[0], few[0], strict=True):
        assert np.array_equal(a.x, b.x)
        assert np.array_equal(a.x, again.x)
    assert many[0].scenes != many[1].scenes
    other = gradual_streams(IMAGES, "seen", 1, 4, SHAPE)[0]
    assert other.scenes[0].domain != few[0].scenes[0].domain


def test_half_way_is_half_of_each_number() -> None:
    start, end = (Domain((Part(FAMILIES["fog"], s, (p,) * 4),)) for s, p in ((0.2, 0.1), (1.0, 0.3)))
    middle = between(start, end, 0.5).parts[0]
    assert middle.strength == pytest.approx(0.6)
    assert middle.parameters == pytest.approx((0.2,) * 4)
    assert between(start, end, 0.0) == start


@pytest.mark.parametrize("seed", range(4))
def test_a_population_drifts_as_one_and_beyond_full_strength(seed: int) -> None:
    streams = drifting_streams(IMAGES, 5, seed, SHAPE)
    paths = []
    for stream in streams:
        own = stream.scenes[0].domain.parts
        assert own
        assert all(scene.domain.parts[: len(own)] == own for scene in stream.scenes)
        paths.append([scene.domain.parts[len(own) :] for scene in stream.scenes])
    assert all(path == paths[0] for path in paths)
    assert len({stream.scenes[0].domain for stream in streams}) > 1
    totals = [sum(part.strength for part in parts) for parts in paths[0]]
    np.testing.assert_allclose(totals, np.linspace(0, 1.5, 20), atol=1e-9)
    assert {part.family.name for parts in paths[0] for part in parts} < set(DRIFTING)
    assert [window.first for window in streams[0]] == [True] + [False] * 19


def test_skewed_labels_hold_for_a_whole_stream() -> None:
    shape = StreamShape(windows_per_segment=5, window_size=8, labels="skew", concentration=0.05)
    for stream in gradual_streams(IMAGES, "clean", 4, 0, shape):
        shares = np.bincount(np.concatenate([window.y for window in stream]), minlength=10) / 160
        assert shares.max() > 0.3


def test_too_few_images_are_refused() -> None:
    for draw in (
        lambda: gradual_streams(numbered(1), "seen", 1, 0, StreamShape()),
        lambda: drifting_streams(numbered(1), 1, 0, StreamShape()),
    ):
        with pytest.raises(DataError, match="10 images for 1 devices with windows of 32"):
            draw()
