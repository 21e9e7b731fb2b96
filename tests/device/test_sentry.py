"""The watch at work: which rung a device steps down to, when it climbs, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from persona.bundle import Bundle
from persona.device import Options, Runtime
from persona.tether import Limits, Tether
from tests.device.guarded import guarded
from tests.worlds import World

WORLD = World()
BUNDLE = replace(guarded(WORLD), encoder=None)
LOOSE = Limits(1, 1, 1, 1, 0.9, 0.9)


def odd_map(bundle: Bundle, shift: float, default: int | None = None) -> Bundle:
    """Return a bundle whose map gives codes that lie `shift` away from every prototype, along the threshold."""
    assert bundle.tether is not None
    bank = replace(bundle.bank, map_bias=np.array([0, shift], np.float32))
    return replace(bundle, bank=bank, tether=replace(bundle.tether, default=default))


def windows(count: int, domain: int = 1, threshold: float = 0.0) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [WORLD.sample(domain, 32, rng, threshold)[0] for _ in range(count)]


def test_a_first_window_that_no_prototype_fits_leaves_the_base_in_force() -> None:
    runtime = Runtime(odd_map(BUNDLE, 50.0))
    for x in windows(10):
        np.testing.assert_allclose(runtime.predict(x), WORLD.logits(x), rtol=1e-5, atol=1e-5)
    status = runtime.status()
    assert (status.rung, status.refused, status.climbs) == ("base", 1, 0)
    assert "farther from what the device's own map predicts" in status.reason


@pytest.mark.parametrize(("default", "rung"), [(None, "base"), (1, "default")])
def test_a_prototype_that_fits_no_more_gives_way_to_the_default_or_to_the_base(default: int | None, rung: str) -> None:
    # The threshold creeps away from every prototype, never by a jump.
    tether = Tether(np.eye(2, dtype=np.float32), LOOSE, replace(LOOSE, prototype=1.2), default)
    bundle = replace(BUNDLE, tether=tether)
    rng, runtime = np.random.default_rng(0), Runtime(bundle)
    for step in range(60):
        runtime.predict(WORLD.sample(1, 32, rng, 0.05 * step)[0])
    status = runtime.status()
    assert status.jumps == 0
    assert (status.rung, status.in_force) == (rung, "base" if default is None else "prototype 1")
    assert "does not fit the data" in status.guarded


def test_a_device_at_rest_climbs_when_its_prototype_fits_for_windows_in_a_row() -> None:
    tether = Tether(np.eye(2, dtype=np.float32), LOOSE, replace(LOOSE, prototype=1.2))
    rng, runtime = np.random.default_rng(0), Runtime(replace(BUNDLE, tether=tether))
    for step in [*range(60), *range(59, -1, -1)]:  # away, and back again
        runtime.predict(WORLD.sample(1, 32, rng, 0.05 * step)[0])
    status = runtime.status()
    assert (status.rung, status.falls, status.climbs, status.jumps) == ("prototype", 1, 1, 0)
    assert "climbed to prototype 0" in status.guarded


def test_what_is_put_in_force_by_hand_is_left_alone() -> None:
    runtime = Runtime(BUNDLE)
    runtime.use(None)
    for x in windows(12):
        runtime.predict(x)
    assert runtime.status().rung == "by hand"
    runtime.use(WORLD.edit(-1))  # wrong, and the caller's wish
    for x in windows(12):
        runtime.predict(x)
    assert (runtime.status().rung, runtime.status().falls) == ("by hand", 0)


def test_without_the_guard_nothing_is_strange() -> None:
    runtime = Runtime(odd_map(BUNDLE, 50.0), options=Options(guard=False))
    for x in windows(10):
        runtime.predict(x)
    assert (runtime.status().rung, runtime.status().falls) == ("prototype", 0)


def test_single_samples_are_watched_as_windows_are() -> None:
    tether = Tether(np.eye(2, dtype=np.float32), LOOSE, replace(LOOSE, prototype=1.2))
    rng, runtime = np.random.default_rng(0), Runtime(replace(BUNDLE, tether=tether))
    for step in range(60):
        for row in WORLD.sample(1, 32, rng, 0.05 * step)[0]:
            runtime.predict(row[None])
    assert runtime.status().rung == "base"
    assert runtime.status().falls == 1
