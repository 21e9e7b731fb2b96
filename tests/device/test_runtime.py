"""The device at work in a world whose answer is known: it follows the data, with a cloud and without."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from persona.device import EveryN, Observation, OnJump, Options, Runtime
from persona.edit import Edit
from persona.errors import DataError, EditError
from persona.sketch import Sketch
from persona.trust import Unsigned
from persona.wire import AdaptReply, AdaptRequest
from tests.device.devices import Clock, Inline, LocalCloud
from tests.device.servers import adapt_service
from tests.worlds import World, accuracy

WORLD = World()


class Never:
    """A policy for tests that ask by hand."""

    def should_ask(self, seen: Observation) -> bool:
        return False


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("context", ["sketch", "samples"])
def test_an_unadapted_model_guesses_and_an_adapted_one_is_right(context: str, rng: np.random.Generator) -> None:
    world = World(context)
    cloud = LocalCloud(world.answer)
    runtime = Runtime(world.bundle, cloud, executor=Inline())
    scores = {"base": [], "adapted": []}
    for domain, threshold in [(1, 0.4), (-1, 0.4), (-1, 0.2), (1, 0.2)] * 5:
        for _ in range(2):
            x, labels = world.sample(domain, 32, rng, threshold)
            scores["base"].append(accuracy(world.logits(x), labels))
            scores["adapted"].append(accuracy(runtime.predict(x), labels))
    assert np.mean(scores["base"]) < 0.6
    # The first window of a domain has its prototype, without a threshold; the answer comes after it.
    assert min(scores["adapted"][1::2]) == 1.0
    assert min(scores["adapted"]) > 0.8
    assert runtime.status().in_force == "prototype 0 + residual"
    assert {request.context for request in cloud.requests} == {context}


def test_samples_go_up_as_they_came(rng: np.random.Generator) -> None:
    world = World("samples")
    cloud = LocalCloud(world.answer)
    runtime = Runtime(world.bundle, cloud, Never())
    x, _ = world.sample(1, 50, rng)
    runtime.predict(x)
    runtime.adapt()
    np.testing.assert_array_equal(cloud.requests[0].values, x[-32:])
    assert cloud.requests[0].count == 32


def test_a_jump_brings_the_nearest_prototype_for_the_same_batch(rng: np.random.Generator) -> None:
    runtime = Runtime(WORLD.bundle)
    runtime.predict(WORLD.sample(1, 32, rng)[0])
    runtime.use(None)
    x, _ = WORLD.sample(1, 32, rng)
    np.testing.assert_allclose(runtime.predict(x), WORLD.logits(x), rtol=1e-5, atol=1e-6)
    assert (runtime.status().in_force, runtime.status().jumps) == ("base", 0)
    for jumps, domain in enumerate([-1, 1, -1], start=1):
        x, labels = WORLD.sample(domain, 32, rng)
        logits = runtime.predict(x)
        assert accuracy(logits, labels) == 1.0
        np.testing.assert_allclose(logits, WORLD.logits(x, WORLD.edit(domain)), rtol=1e-5, atol=1e-5)
        assert runtime.status().in_force == f"prototype {0 if domain == 1 else 1}"
        assert runtime.status().jumps == jumps


@pytest.mark.parametrize("size", [1, 5, 16])
def test_a_jump_in_small_batches_is_followed_within_two_windows(size: int, rng: np.random.Generator) -> None:
    runtime = Runtime(WORLD.bundle, options=Options(sketch_share=0.5))
    for domain in (1, -1, 1):
        x, labels = WORLD.sample(domain, 160, rng)
        logits = np.concatenate([runtime.predict(x[at : at + size]) for at in range(0, len(x), size)])
    assert accuracy(logits[80:], labels[80:]) == 1.0
    assert runtime.status().in_force == "prototype 0"


def test_without_a_cloud_adapt_picks_the_nearest_prototype(rng: np.random.Generator) -> None:
    runtime = Runtime(WORLD.bundle)
    x, labels = WORLD.sample(-1, 32, rng)
    runtime.observe(x)
    status = runtime.adapt()
    assert (status.in_force, status.reason, status.asks) == ("prototype 1", "", 0)
    assert accuracy(runtime.predict(x), labels) == 1.0


def test_without_a_cloud_and_without_data_adapt_says_so() -> None:
    status = Runtime(WORLD.bundle).adapt()
    assert status.in_force == "base"
    assert "no samples are remembered" in status.reason


def test_a_window_is_adapted_to_before_it_is_predicted(rng: np.random.Generator) -> None:
    runtime = Runtime(WORLD.bundle, LocalCloud(WORLD.answer), Never())
    for domain, threshold in [(1, 0.5), (-1, -0.5), (1, -0.5)]:
        x, labels = WORLD.sample(domain, 64, rng, threshold)
        runtime.observe(x)
        assert runtime.adapt().reason == ""
        assert accuracy(runtime.predict(x), labels) == 1.0
    status = runtime.status()
    assert (status.asks, status.jumps, status.in_force) == (3, 0, "prototype 0 + residual")


def test_an_observed_window_replaces_all_that_was_remembered(rng: np.random.Generator) -> None:
    cloud = LocalCloud(WORLD.answer)
    runtime = Runtime(WORLD.bundle, cloud, Never())
    runtime.predict(WORLD.sample(1, 20, rng)[0])
    x, _ = WORLD.sample(1, 10, rng)
    runtime.observe(x)
    runtime.adapt()
    wanted = Sketch.of(WORLD.bundle.sketch, WORLD.moments(x), WORLD.logits(x)).features(WORLD.bundle.sketch)
    np.testing.assert_array_equal(cloud.requests[0].values, wanted.astype(np.float16))
    assert cloud.requests[0].count == 10


def test_the_sketch_means_the_same_whichever_edit_is_in_force(rng: np.random.Generator) -> None:
    x, _ = WORLD.sample(1, 32, rng)
    asked = []
    for edit in (None, WORLD.edit(1), WORLD.edit(-1, 2.0)):
        cloud = LocalCloud(WORLD.answer)
        runtime = Runtime(WORLD.bundle, cloud, Never())
        runtime.use(edit)
        runtime.predict(x)
        runtime.adapt()
        asked.append(cloud.requests[0].values)
    for one, other in pairwise(asked):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_share_of_the_samples_is_sketched_while_an_edit_is_in_force(size: int, rng: np.random.Generator) -> None:
    cloud = LocalCloud(WORLD.answer)
    world = replace(WORLD, support=(8, 1000))
    runtime = Runtime(world.bundle, cloud, Never(), options=Options(sketch_share=0.25))
    runtime.use(world.edit(1))
    x, _ = world.sample(1, 100, rng)
    for at in range(0, 100, size):
        runtime.predict(x[at : at + size])
    runtime.adapt()
    assert cloud.requests[0].count == 25
    runtime.use(None)
    for at in range(0, 100, size):
        runtime.predict(x[at : at + size])
    runtime.adapt()
    assert cloud.requests[1].count == 125


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(DataError, match="sketch_share is"):
        Options(sketch_share=share)


def test_one_sample_at_a_time_asks_the_same_as_a_window(rng: np.random.Generator) -> None:
    x, _ = WORLD.sample(1, 32, rng)
    asked = []
    for size in (1, 5, 32):
        cloud = LocalCloud(WORLD.answer)
        runtime = Runtime(WORLD.bundle, cloud, Never())
        for at in range(0, 32, size):
            runtime.predict(x[at : at + size])
        runtime.adapt()
        asked.append(cloud.requests[0].values)
    for other in asked[1:]:
        np.testing.assert_allclose(other, asked[0], rtol=2**-10)


def test_too_few_samples_are_not_asked_about(rng: np.random.Generator) -> None:
    cloud = LocalCloud(WORLD.answer)
    runtime = Runtime(WORLD.bundle, cloud, executor=Inline())
    runtime.predict(WORLD.sample(1, 7, rng)[0])
    assert "7 samples are remembered; the adapter needs 8" in runtime.adapt().reason
    assert cloud.requests == []
    runtime.predict(WORLD.sample(1, 1, rng)[0])
    assert [request.count for request in cloud.requests] == [8]
    assert runtime.status().reason == ""


def test_the_policy_decides_how_often_to_ask(rng: np.random.Generator) -> None:
    asked = {}
    for policy in (EveryN(64), OnJump(), None):
        cloud = LocalCloud(WORLD.answer)
        runtime = Runtime(WORLD.bundle, cloud, policy, executor=Inline())
        for domain in (1, -1):
            for _ in range(10):
                runtime.predict(WORLD.sample(domain, 32, rng)[0])
        asked[policy] = len(cloud.requests)
    assert asked == {EveryN(64): 10, OnJump(): 2, None: 4}


def test_an_edit_that_expires_is_asked_for_again(rng: np.random.Generator) -> None:
    clock, world = Clock(), World(expires_s=60)
    cloud = LocalCloud(world.answer)
    runtime = Runtime(world.bundle, cloud, executor=Inline(), clock=clock)
    x, _ = world.sample(1, 32, rng)
    runtime.predict(x)
    clock.now += 59
    runtime.predict(x)
    assert len(cloud.requests) == 1
    clock.now += 1
    runtime.predict(x)
    assert len(cloud.requests) == 2
    assert runtime.status().in_force == "prototype 0 + residual"


def test_an_edit_is_put_in_force_by_hand_and_taken_back(rng: np.random.Generator) -> None:
    runtime = Runtime(WORLD.bundle)
    x, _ = WORLD.sample(1, 8, rng)
    edit = WORLD.edit(1, 0.25)
    runtime.use(edit)
    np.testing.assert_allclose(runtime.predict(x), WORLD.logits(x, edit), rtol=1e-5, atol=1e-5)
    assert runtime.status().in_force == "by hand"
    runtime.use(None)
    np.testing.assert_allclose(runtime.predict(x), WORLD.logits(x), rtol=1e-5, atol=1e-5)
    assert runtime.status().in_force == "base"


@pytest.mark.parametrize("deltas", [{}, {"head.weight": np.full((2, 4), 99.0), "head.bias": np.zeros(2)}])
def test_an_edit_by_hand_that_does_not_fit_changes_nothing(
    deltas: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    runtime = Runtime(WORLD.bundle)
    runtime.use(WORLD.edit(1))
    with pytest.raises(EditError, match="head"):
        runtime.use(Edit(deltas))
    x, labels = WORLD.sample(1, 32, rng)
    assert accuracy(runtime.predict(x), labels) == 1.0


def test_a_reply_of_a_prototype_alone_puts_that_in_force(rng: np.random.Generator) -> None:
    def answer(request: AdaptRequest) -> AdaptReply:
        return replace(WORLD.answer(request), residual=None)

    runtime = Runtime(WORLD.bundle, LocalCloud(answer), executor=Inline())
    runtime.predict(WORLD.sample(-1, 16, rng)[0])  # no whole window, which would bring it without a reply
    assert runtime.status().in_force == "prototype 1"
    assert runtime.status().bytes_down == 16


def test_the_status_counts_what_happened(rng: np.random.Generator) -> None:
    clock = Clock()

    def answer(request: AdaptRequest) -> AdaptReply:
        clock.now += 0.125
        return WORLD.answer(request)

    runtime = Runtime(WORLD.bundle, LocalCloud(answer), executor=Inline(), clock=clock)
    assert runtime.status().bank_version == WORLD.bank.version
    runtime.predict(WORLD.sample(1, 32, rng)[0])
    status = runtime.status()
    assert (status.asks, status.replies, status.refused, status.reason) == (1, 1, 0, "")
    assert (status.bytes_up, status.bytes_down) == (20 + 2 * 10, 16 + 4 * 2)
    assert status.latency_s == 0.125
    assert status.apply_time is not None


def test_the_parts_of_an_application_are_timed_in_microseconds(rng: np.random.Generator) -> None:
    ticks = iter(range(1_000_000))
    runtime = Runtime(WORLD.bundle, clock=lambda: next(ticks) * 1e-6)
    runtime.observe(WORLD.sample(1, 32, rng)[0])
    parts = runtime.adapt().apply_time
    assert parts is not None
    np.testing.assert_allclose([parts.decode_us, parts.check_us, parts.trial_us, parts.swap_us], 1.0, rtol=1e-6)


def test_x_of_another_kind_is_the_callers_mistake() -> None:
    runtime = Runtime(WORLD.bundle)
    for call in (runtime.predict, runtime.observe):
        with pytest.raises(DataError, match=r"wanted .*\(N, 4\)"):
            call(np.zeros((3, 7), np.float32))
    assert runtime.status() == Runtime(WORLD.bundle).status()


def test_what_the_caller_does_to_its_arrays_afterwards_is_its_own_affair(rng: np.random.Generator) -> None:
    world = World("samples")
    cloud = LocalCloud(world.answer)
    runtime = Runtime(world.bundle, cloud, Never())
    x, _ = world.sample(1, 32, rng)
    sent = x.copy()
    logits = runtime.predict(x)
    x[:] = np.nan
    logits[:] = np.nan
    assert runtime.adapt().reason == ""
    np.testing.assert_array_equal(cloud.requests[0].values, sent)


def test_samples_that_are_not_finite_are_answered_and_forgotten(rng: np.random.Generator) -> None:
    runtime = Runtime(World("samples").bundle, LocalCloud(World("samples").answer), executor=Inline())
    for _ in range(3):
        x, labels = WORLD.sample(1, 32, rng)
        x[::4] = np.inf
        logits = runtime.predict(x)
        assert logits.shape == (32, 2)
    sound = np.arange(32) % 4 != 0
    assert accuracy(logits[sound], labels[sound]) == 1.0
    assert runtime.status().refused == 0


def test_a_device_asks_in_a_thread_of_its_own_and_close_waits_for_it(rng: np.random.Generator) -> None:
    cloud = LocalCloud(WORLD.answer)
    with Runtime(WORLD.bundle, cloud) as runtime:
        runtime.predict(WORLD.sample(1, 32, rng)[0])
    assert runtime.status().in_force == "prototype 0 + residual"
    x, labels = WORLD.sample(1, 1000, rng)
    assert accuracy(runtime.predict(x), labels) == 1.0
    assert len(cloud.requests) == 1


def test_the_log_says_what_came_into_force(caplog: pytest.LogCaptureFixture, rng: np.random.Generator) -> None:
    caplog.set_level(logging.DEBUG, "persona.device")
    runtime = Runtime(WORLD.bundle, LocalCloud(WORLD.answer), OnJump(), executor=Inline())
    for domain in (1, -1):
        runtime.predict(WORLD.sample(domain, 32, rng)[0])
    assert caplog.messages == [
        "the first window is here; prototype 0 is nearest",
        "prototype 0 + residual came into force",
        "the data jumped to another domain; prototype 1 is nearest",
        "prototype 1 + residual came into force",
    ]


def test_a_whole_stream_gives_the_same_over_http_as_in_the_process(rng: np.random.Generator) -> None:
    from persona.device import HttpCloud

    windows = [WORLD.sample(domain, 32, rng)[0] for domain in (1, 1, -1, -1, 1)]
    local = Runtime(WORLD.bundle, LocalCloud(WORLD.answer), executor=Inline())
    with adapt_service(WORLD.answer) as url, HttpCloud(url, 30.0, trust=Unsigned()) as cloud:
        remote = Runtime(WORLD.bundle, cloud, executor=Inline())
        for x in windows:
            np.testing.assert_array_equal(remote.predict(x), local.predict(x))
    assert replace(remote.status(), apply_time=None, latency_s=None) == replace(
        local.status(), apply_time=None, latency_s=None
    )
