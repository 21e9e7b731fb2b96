"""Settings: who streams what, of which pictures, and how much of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from persona.bench.vision.plan import Plan
from persona.bench.vision.settings import MAIN, SETTINGS, settings_for, shape_of
from persona.errors import DataError
from persona.tasks.vision import FAMILIES, HELD, SEEN, VisionData, Window
from persona.tasks.vision.streams import StreamShape
from tests.tiny_task import TinyTask, quadrants

PLAN = Plan(devices=10, windows=2, window_size=4)
SEED = 11


def task() -> TinyTask:
    """Return a task of which the test pictures alone have an eight as their first pixel; training has none at all."""
    task = TinyTask()
    test = quadrants(6, 3)
    test.images[:, 0, 0, 0] = 8
    task.images = VisionData(task.images.train.take(np.arange(0)), task.images.validation, test)
    return task


def drawn(setting: str, plan: Plan = PLAN, seed: int = SEED) -> list[list[Window]]:
    return [list(stream) for stream in SETTINGS[setting](task(), plan, seed)]


COUNTS = {
    **dict.fromkeys((*MAIN, "gradual"), None),
    "rotated": 14,
    **dict.fromkeys((name for name in SETTINGS if name.startswith(("c-", "family-"))), 2),
}


@pytest.mark.parametrize("setting", COUNTS)
def test_every_setting_streams_whole_windows_and_the_same_ones_twice(setting: str) -> None:
    streams = drawn(setting)
    assert len(streams) == (COUNTS[setting] or (5 if setting == "gradual" else PLAN.devices))
    lengths = {len(stream) for stream in streams}
    assert len(lengths) == 1, "results are kept as a grid of devices and windows"
    assert min(lengths) >= 4 * PLAN.windows
    for window in streams[-1]:
        assert window.x.shape == (4, 1, 8, 8)
        assert window.y.shape == (4,)
    for one, other in zip(streams[0], drawn(setting)[0], strict=True):
        assert np.array_equal(one.x, other.x)
    assert not np.array_equal(streams[0][0].x, drawn(setting, seed=SEED + 1)[0][0].x)
    firsts = {tuple(window.first for window in stream) for stream in streams}
    assert len(firsts) == 1, "one device's marks are stored for all"


def test_clean_streams_are_test_pictures_as_they_are() -> None:
    for stream in drawn("clean"):
        for window in stream:
            assert np.allclose(window.x[:, 0, 0, 0], 8 / 255)
            assert not window.domain.parts


@pytest.mark.parametrize(("setting", "families"), [("iid-seen", SEEN), ("skew-held", HELD)])
def test_shifts_are_of_their_split(setting: str, families: tuple[str, ...]) -> None:
    met = {part.family.name for stream in drawn(setting) for window in stream for part in window.domain.parts}
    assert met
    assert met <= set(families)


@pytest.mark.parametrize("name", ["rotation", "invert"])
def test_one_family_alone_is_met(name: str) -> None:
    met = {part.family.name for stream in drawn(f"family-{name}") for window in stream for part in window.domain.parts}
    assert met == {name}


def test_skewed_devices_have_classes_of_their_own() -> None:
    plan = replace(PLAN, windows=6)
    shares = {}
    for labels in ("iid", "skew"):
        rows = [np.concatenate([w.y for w in stream if w.segment == 0]) for stream in drawn(f"{labels}-seen", plan)]
        shares[labels] = np.mean([np.bincount(row, minlength=4).max() / len(row) for row in rows])
    assert shares["skew"] > shares["iid"] + 0.15


def test_devices_of_every_setting_meet_the_same_domains_under_even_and_skewed_labels() -> None:
    pairs = zip(drawn("iid-seen"), drawn("skew-seen"), strict=True)
    assert all(a.domain == b.domain for one, other in pairs for a, b in zip(one, other, strict=True))


def test_the_other_writers_are_mnists_alone() -> None:
    with pytest.raises(DataError, match="run it with data 'mnist'"):
        drawn("usps")


def test_streams_have_the_plans_shape() -> None:
    assert shape_of(PLAN, "skew") == StreamShape(2, 4, "skew")


def test_data_sets_are_run_in_their_own_settings() -> None:
    everything = settings_for("fashion-mnist")
    assert set(everything) == set(SETTINGS) - {"usps"}
    assert set(everything) >= {f"family-{name}" for name in FAMILIES}
    assert settings_for("mnist") == (*MAIN, "usps")
    assert settings_for("cifar10") == MAIN
    assert settings_for("pacs-photo") == ("clean",)
    assert settings_for("fashion-mnist", quick=True) == ("iid-seen", "skew-seen")
    assert all(name in SETTINGS for name in everything)
