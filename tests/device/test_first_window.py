"""The first window of a device at rest: the nearest prototype comes into force and answers that very batch."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from persona.device import OnJump, Runtime
from persona.edit import Edit
from persona.wire import AdaptReply, AdaptRequest
from tests.device.devices import Inline, LocalCloud
from tests.worlds import World, accuracy

WORLD = World()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(("domain", "prototype"), [(1, "prototype 0"), (-1, "prototype 1")])
def test_without_a_cloud_the_first_window_brings_the_nearest_prototype_for_the_same_batch(
    domain: int, prototype: str, rng: np.random.Generator
) -> None:
    runtime = Runtime(WORLD.bundle)
    x, labels = WORLD.sample(domain, 32, rng)
    assert accuracy(WORLD.logits(x), labels) < 0.8
    logits = runtime.predict(x)
    assert accuracy(logits, labels) == 1.0
    np.testing.assert_allclose(logits, WORLD.logits(x, WORLD.edit(domain)), rtol=1e-5, atol=1e-5)
    status = runtime.status()
    assert (status.in_force, status.jumps, status.refused) == (prototype, 0, 0)


def test_the_first_window_has_its_prototype_before_the_answer_of_the_cloud_is_there(rng: np.random.Generator) -> None:
    release = threading.Event()

    def answer(request: AdaptRequest) -> AdaptReply:
        assert release.wait(60)
        return WORLD.answer(request)

    cloud = LocalCloud(answer)
    with ThreadPoolExecutor(1) as executor:
        runtime = Runtime(WORLD.bundle, cloud, OnJump(), executor=executor)
        x, labels = WORLD.sample(-1, 32, rng)
        assert accuracy(runtime.predict(x), labels) == 1.0
        assert (runtime.status().in_force, runtime.status().jumps) == ("prototype 1", 0)
        release.set()
        executor.shutdown()
    assert (runtime.status().in_force, runtime.status().jumps) == ("prototype 1 + residual", 0)
    assert len(cloud.requests) == 1


@pytest.mark.parametrize("size", [1, 5, 8, 31])
def test_the_small_batch_that_completes_the_first_window_is_answered_with_the_prototype(
    size: int, rng: np.random.Generator
) -> None:
    runtime = Runtime(WORLD.bundle)
    done = 0
    while done + size < 32:
        x, _ = WORLD.sample(-1, size, rng)
        np.testing.assert_allclose(runtime.predict(x), WORLD.logits(x), rtol=1e-5, atol=1e-6)
        assert runtime.status().in_force == "base"
        done += size
    x, labels = WORLD.sample(-1, size, rng)
    assert accuracy(runtime.predict(x), labels) == 1.0
    assert (runtime.status().in_force, runtime.status().jumps) == ("prototype 1", 0)


def test_an_answer_that_came_before_the_first_window_stays(rng: np.random.Generator) -> None:
    runtime = Runtime(WORLD.bundle, LocalCloud(WORLD.answer), OnJump(), executor=Inline())
    runtime.predict(WORLD.sample(1, 8, rng, 0.5)[0])
    assert runtime.status().in_force == "prototype 0 + residual"
    x, _ = WORLD.sample(1, 32, rng, 0.5)
    runtime.predict(x)
    assert (runtime.status().in_force, runtime.status().jumps) == ("prototype 0 + residual", 0)


@pytest.mark.parametrize("edit", [None, WORLD.edit(1, 0.25)], ids=["base", "edit"])
@pytest.mark.parametrize("size", [8, 32])
def test_what_is_put_in_force_by_hand_before_the_first_window_survives_it(
    edit: Edit | None, size: int, rng: np.random.Generator
) -> None:
    runtime = Runtime(WORLD.bundle)
    runtime.use(edit)
    for _ in range(64 // size):
        x, _ = WORLD.sample(-1, size, rng)
        np.testing.assert_allclose(runtime.predict(x), WORLD.logits(x, edit), rtol=1e-5, atol=1e-5)
    status = runtime.status()
    assert (status.in_force, status.jumps) == ("base" if edit is None else "by hand", 0)


def test_an_edit_put_in_force_by_hand_while_the_first_window_is_followed_stays(rng: np.random.Generator) -> None:
    edits = [WORLD.edit(1, 0.25)]

    def clock() -> float:  # read between the pick of the prototype and its coming into force
        if predicting and edits:
            runtime.use(edits.pop())
        return 0.0

    predicting = False
    runtime = Runtime(WORLD.bundle, clock=clock)
    predicting = True
    runtime.predict(WORLD.sample(-1, 32, rng)[0])
    assert not edits
    assert runtime.status().in_force == "by hand"


def test_a_jump_replaces_the_base_model_that_was_put_in_force_by_hand(rng: np.random.Generator) -> None:
    runtime = Runtime(WORLD.bundle)
    runtime.use(None)
    runtime.predict(WORLD.sample(1, 32, rng)[0])
    x, labels = WORLD.sample(-1, 32, rng)
    assert accuracy(runtime.predict(x), labels) == 1.0
    assert (runtime.status().in_force, runtime.status().jumps) == ("prototype 1", 1)


def test_a_window_right_after_an_observed_one_is_not_the_first(rng: np.random.Generator) -> None:
    runtime = Runtime(WORLD.bundle)
    runtime.observe(WORLD.sample(-1, 32, rng)[0])
    x, _ = WORLD.sample(-1, 32, rng)
    np.testing.assert_allclose(runtime.predict(x), WORLD.logits(x), rtol=1e-5, atol=1e-6)
    assert (runtime.status().in_force, runtime.status().jumps) == ("base", 0)
