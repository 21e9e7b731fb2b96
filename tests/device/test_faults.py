"""Whatever the cloud does, the edit in force stays, predictions are what they were, and the status says why."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import numpy as np
import pytest

from persona.device import Backoff, HttpCloud, OnJump, Options, Pace, Runtime
from persona.trust import Unsigned
from persona.wire import REPLY_LIMIT_BYTES, AdaptReply, AdaptRequest
from tests.device.devices import Clock, Inline, LocalCloud
from tests.device.servers import (
    Asked,
    Told,
    adapt_service,
    closed_port,
    http_service,
    raw_service,
    read_request,
    reply_of,
)
from tests.device.test_guard import fragile_graph
from tests.worlds import BANK_VERSION, BIAS_BOUND, WEIGHT_BOUND, World, accuracy

WORLD = World()
FINGERPRINT = WORLD.bundle.fingerprint
NAN_CODE = AdaptReply(FINGERPRINT, 0, BANK_VERSION, 0, WORLD.code(1), "float32").encode()[:-4] + b"\0\0\xc0\x7f"
RESET = b"\1\0\0\0\0\0\0\0"  # linger for 0 s: close with a reset


def half_a_reply(connection: socket.socket, _over: threading.Event) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\nPR")


def reset(connection: socket.socket, _over: threading.Event) -> None:
    read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def silent(connection: socket.socket, over: threading.Event) -> None:
    read_request(connection)
    over.wait()


@contextmanager
def absent() -> Iterator[str]:
    yield f"http://127.0.0.1:{closed_port()}"


def replying(reply: AdaptReply) -> Callable[[], AbstractContextManager[str]]:
    return telling(reply_of(reply.encode()))


def telling(told: Told) -> Callable[[], AbstractContextManager[str]]:
    return lambda: http_service(lambda _: told)


FAULTS = {
    "absent": (absent, "refused"),
    "silent": (lambda: raw_service(silent), r"not answered within 0\.3 s"),
    "dies mid reply": (lambda: raw_service(half_a_reply), "failed"),
    "resets": (lambda: raw_service(reset), "failed"),
    "nonsense": (telling(reply_of(b"once upon a time")), "not a reply"),
    "empty": (telling(reply_of(b"")), "too short"),
    "too much": (telling(reply_of(bytes(REPLY_LIMIT_BYTES + 1))), "more than 65,536 bytes"),
    "web page": (telling(Told(200, b"<html>", {"Content-Type": "text/html"})), "text/html"),
    "error": (telling(Told(500, b"")), "answered 500"),
    "busy": (telling(Told(503, b"", {"Retry-After": "1"})), "answered 503"),
    "another bundle, it says": (telling(Told(409, b"")), "answered 409.*fetch the bundle"),
    "another bundle": (replying(AdaptReply("ab" * 32, 0, BANK_VERSION, 0)), "bundle abababababab, this side"),
    "another bank": (replying(AdaptReply(FINGERPRINT, 0, 4, 0)), "version 4 of the bank"),
    "unknown prototype": (replying(AdaptReply(FINGERPRINT, 2, BANK_VERSION, 0)), "prototype 2 is unknown"),
    "another shape": (replying(AdaptReply(FINGERPRINT, 0, BANK_VERSION, 0, np.ones((1, 3), np.float32))), "takes 4"),
    "not finite": (telling(reply_of(NAN_CODE)), "not finite"),
}


@pytest.mark.parametrize(("fault", "says"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_leaves_the_edit_in_force_and_is_named(
    fault: Callable[[], AbstractContextManager[str]], says: str
) -> None:
    rng = np.random.default_rng(0)
    x, labels = WORLD.sample(-1, 64, rng)
    with fault() as url, HttpCloud(url, 0.3, trust=Unsigned()) as cloud:
        runtime = Runtime(WORLD.bundle, cloud, OnJump(), executor=Inline())
        runtime.use(WORLD.edit(-1))
        runtime.observe(x)
        status = runtime.adapt()
        logits = runtime.predict(x)
    np.testing.assert_allclose(logits, WORLD.logits(x, WORLD.edit(-1)), rtol=1e-5, atol=1e-5)
    assert accuracy(logits, labels) == 1.0
    assert (status.in_force, status.asks, status.refused) == ("by hand", 1, 1)
    assert re.search(says, status.reason), status.reason


@pytest.mark.parametrize("size", [1e4, 3.4e38])
def test_a_code_however_large_gives_an_edit_within_its_bounds_or_none(size: float) -> None:
    def answer(request: AdaptRequest) -> AdaptReply:
        return AdaptReply(request.fingerprint, 0, BANK_VERSION, 0, np.full((1, 2), size, np.float32), "float32")

    x, _ = WORLD.sample(1, 32, np.random.default_rng(0))
    runtime = Runtime(WORLD.bundle, LocalCloud(answer), executor=Inline())
    runtime.predict(x)
    largest = np.abs(x).sum(axis=1).max() * (WEIGHT_BOUND + 1) + BIAS_BOUND
    assert np.abs(runtime.predict(x)).max() <= largest


def test_an_edit_that_fails_its_shadow_trial_is_refused() -> None:
    bundle = replace(WORLD.bundle, graph=fragile_graph())  # a threshold that is not 0 gives NaN

    def answer(request: AdaptRequest) -> AdaptReply:
        return replace(WORLD.answer(request), residual=WORLD.code(0, 0.5))

    x, _ = WORLD.sample(1, 32, np.random.default_rng(0))
    runtime = Runtime(bundle, LocalCloud(answer), executor=Inline())
    runtime.predict(x)
    status = runtime.status()
    assert (status.in_force, status.replies, status.refused) == ("prototype 0", 1, 1)
    assert "not finite on the last 32 samples" in status.reason
    np.testing.assert_allclose(runtime.predict(x), WORLD.logits(x, WORLD.edit(1)), rtol=1e-5, atol=1e-5)


def test_a_prototype_that_fails_its_trial_leaves_the_base_model() -> None:
    bank = replace(WORLD.bank, codes=np.array([[[1, 0]], [[-1, 0.5]]], np.float32))
    bundle = replace(WORLD.bundle, graph=fragile_graph(), bank=bank)
    rng = np.random.default_rng(0)
    runtime = Runtime(bundle)
    x, _ = WORLD.sample(-1, 32, rng)
    np.testing.assert_allclose(runtime.predict(x), WORLD.logits(x), rtol=1e-5)  # with the first window
    assert (runtime.status().in_force, runtime.status().refused) == ("base", 1)
    runtime.predict(WORLD.sample(1, 32, rng)[0])
    assert runtime.status().in_force == "prototype 0"
    x, _ = WORLD.sample(-1, 32, rng)  # and after a jump
    np.testing.assert_allclose(runtime.predict(x), WORLD.logits(x), rtol=1e-5)
    assert (runtime.status().in_force, runtime.status().jumps) == ("base", 2)
    assert "not finite" in runtime.status().reason


def test_a_late_answer_is_not_used() -> None:
    rng = np.random.default_rng(0)
    asked, release = threading.Event(), threading.Event()

    def answer(told: Asked) -> Told:
        asked.set()
        assert release.wait(60)
        return reply_of(WORLD.answer(AdaptRequest.decode(told.body)).encode())

    with (
        http_service(answer) as url,
        HttpCloud(url, 60.0, trust=Unsigned()) as cloud,
        ThreadPoolExecutor(1) as executor,
    ):
        runtime = Runtime(WORLD.bundle, cloud, executor=executor)
        runtime.predict(WORLD.sample(1, 32, rng)[0])
        assert asked.wait(60)
        runtime.predict(WORLD.sample(-1, 32, rng)[0])
        assert runtime.status().in_force == "prototype 1"
        release.set()
        executor.shutdown()
        status = runtime.status()
    assert (status.in_force, status.replies, status.refused) == ("prototype 1", 1, 1)
    assert "came late" in status.reason


def test_an_answer_for_a_domain_that_is_back_is_used() -> None:
    rng = np.random.default_rng(0)
    release = threading.Event()

    def answer(request: AdaptRequest) -> AdaptReply:
        assert release.wait(60)
        return WORLD.answer(request)

    with ThreadPoolExecutor(1) as executor:
        runtime = Runtime(WORLD.bundle, LocalCloud(answer), executor=executor)
        for domain in (1, -1, 1):
            runtime.predict(WORLD.sample(domain, 32, rng)[0])
        release.set()
        executor.shutdown()
    assert runtime.status().in_force == "prototype 0 + residual"


def test_after_a_late_answer_the_device_asks_again_at_once() -> None:
    rng = np.random.default_rng(0)
    elsewhere: list[np.ndarray] = [WORLD.sample(-1, 32, rng)[0]]

    def answer(request: AdaptRequest) -> AdaptReply:
        if elsewhere:
            runtime.predict(elsewhere.pop())  # the data moves on while the answer is under way
        return WORLD.answer(request)

    runtime = Runtime(WORLD.bundle, LocalCloud(answer), executor=Inline())
    runtime.predict(WORLD.sample(1, 32, rng)[0])
    assert "came late" in runtime.status().reason
    runtime.predict(WORLD.sample(-1, 32, rng)[0])
    assert (runtime.status().in_force, runtime.status().reason) == ("prototype 1 + residual", "")


def test_an_answer_after_an_edit_by_hand_is_not_used() -> None:
    def answer(request: AdaptRequest) -> AdaptReply:
        runtime.use(WORLD.edit(-1))
        return WORLD.answer(request)

    runtime = Runtime(WORLD.bundle, LocalCloud(answer), executor=Inline())
    runtime.predict(WORLD.sample(1, 32, np.random.default_rng(0))[0])
    assert runtime.status().in_force == "by hand"
    assert "by hand" in runtime.status().reason


def test_when_the_service_comes_back_adaptation_resumes() -> None:
    rng = np.random.default_rng(0)
    clock, port = Clock(), closed_port()
    options = Options(pace=Pace(backoff=Backoff(first_s=1.0, most_s=4.0, jitter=0.0)))
    with HttpCloud(f"http://127.0.0.1:{port}", 30.0, trust=Unsigned()) as cloud:
        runtime = Runtime(WORLD.bundle, cloud, executor=Inline(), clock=clock, options=options)
        tries = []
        for _ in range(40):  # 10 s, a window every quarter of a second
            runtime.predict(WORLD.sample(1, 32, rng)[0])
            tries.append(runtime.status().asks)
            clock.now += 0.25
        # At 0, 1, 3 and 7 s: the next is due at 11 s.
        assert tries[-1] == 4
        assert [tries.index(number) / 4 for number in (1, 2, 3, 4)] == [0.0, 1.0, 3.0, 7.0]
        assert runtime.status().in_force == "prototype 0"
        with adapt_service(WORLD.answer, port):
            runtime.predict(WORLD.sample(1, 32, rng)[0])
            assert runtime.status().in_force == "prototype 0"  # not due yet
            clock.now += 1.0
            runtime.predict(WORLD.sample(1, 32, rng)[0])
        assert (runtime.status().in_force, runtime.status().reason) == ("prototype 0 + residual", "")


def test_a_cloud_that_raises_anything_never_shows_in_a_prediction(caplog: pytest.LogCaptureFixture) -> None:
    def answer(_request: AdaptRequest) -> AdaptReply:
        raise KeyError("somebody's mistake")

    x, _ = WORLD.sample(1, 32, np.random.default_rng(0))
    runtime = Runtime(WORLD.bundle, LocalCloud(answer), executor=Inline())
    np.testing.assert_allclose(runtime.predict(x), WORLD.logits(x, WORLD.edit(1)), rtol=1e-5, atol=1e-5)
    assert runtime.status().in_force == "prototype 0"
    assert runtime.status().reason == 'the cloud raised KeyError("somebody\'s mistake")'
    assert "Traceback" in caplog.text


def test_an_executor_that_was_shut_down_never_shows_in_a_prediction() -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    cloud = LocalCloud(WORLD.answer)
    runtime = Runtime(WORLD.bundle, cloud, executor=executor)
    for _ in range(3):
        runtime.predict(WORLD.sample(1, 32, np.random.default_rng(0))[0])
    status = runtime.status()
    assert "takes no requests" in status.reason
    assert status.refused == 1  # and then it waits before it tries again
    assert runtime.adapt().in_force == "prototype 0 + residual"  # which needs no executor


def test_a_request_that_its_executor_drops_does_not_block_the_next() -> None:
    hold = threading.Event()
    executor = ThreadPoolExecutor(1)
    executor.submit(hold.wait, 60)
    runtime = Runtime(WORLD.bundle, LocalCloud(WORLD.answer), executor=executor)
    runtime.predict(WORLD.sample(1, 32, np.random.default_rng(0))[0])
    executor.shutdown(wait=False, cancel_futures=True)
    hold.set()
    assert runtime.adapt().in_force == "prototype 0 + residual"


def test_a_policy_that_raises_shows_in_the_status_and_never_in_a_prediction() -> None:
    class Broken:
        def should_ask(self, _seen: object) -> bool:
            raise ZeroDivisionError

    runtime = Runtime(WORLD.bundle, LocalCloud(WORLD.answer), Broken(), executor=Inline())
    x, _ = WORLD.sample(1, 32, np.random.default_rng(0))
    np.testing.assert_allclose(runtime.predict(x), WORLD.logits(x, WORLD.edit(1)), rtol=1e-5, atol=1e-5)
    assert "ZeroDivisionError" in runtime.status().reason
    assert runtime.adapt().in_force == "prototype 0 + residual"


def test_a_closed_runtime_predicts_and_asks_no_more() -> None:
    cloud = LocalCloud(WORLD.answer)
    runtime = Runtime(WORLD.bundle, cloud, executor=Inline())
    runtime.close()
    x, _ = WORLD.sample(1, 32, np.random.default_rng(0))
    np.testing.assert_allclose(runtime.predict(x), WORLD.logits(x, WORLD.edit(1)), rtol=1e-5, atol=1e-5)
    assert runtime.status().in_force == "prototype 0"
    assert "closed" in runtime.adapt().reason
    assert cloud.requests == []
