"""Late, expired and kept edits: an edit travels with the place it was made for, and holds nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from persona.device import KeptEdit, OnJump, Runtime
from persona.errors import FingerprintMismatch, WireError
from tests.device.devices import Clock, Inline, LocalCloud
from tests.device.guarded import guarded
from tests.worlds import World, accuracy

WORLD = World(expires_s=600)
BUNDLE = guarded(WORLD)


class Held(Executor):
    """Keeps jobs until they are let go."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[..., Any], Future[Any]]] = []

    def submit(self, job: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.jobs.append((job, future))
        return future


def adapted(threshold: float = 0.3, domain: int = 1) -> Runtime:
    runtime = Runtime(BUNDLE, LocalCloud(WORLD.answer), OnJump(), executor=Inline(), clock=Clock())
    runtime.predict(WORLD.sample(domain, 32, np.random.default_rng(0), threshold)[0])
    assert runtime.status().rung == "answer"
    return runtime


@pytest.mark.parametrize("delay", [1, 2, 3, 5])
@pytest.mark.parametrize("shifts", ["jumps", "creeps", "stays"])
def test_an_answer_that_comes_windows_late_is_used_only_where_its_sketch_still_fits(delay: int, shifts: str) -> None:
    rng = np.random.default_rng(0)
    moves = []  # what the data does while the answer is under way

    def answer(request: Any) -> Any:
        code = WORLD.answer(request)
        for step in range(delay):
            domain = -1 if shifts == "jumps" else 1
            threshold = 0.3 - (0.12 * (step + 1) if shifts == "creeps" else 0.0)
            moves.append(runtime.predict(WORLD.sample(domain, 32, rng, threshold)[0]))
        return code

    runtime = Runtime(BUNDLE, LocalCloud(answer), OnJump(), executor=Inline())
    runtime.predict(WORLD.sample(1, 32, rng, 0.3)[0])
    status = runtime.status()
    if shifts == "stays":
        assert (status.rung, status.reason) == ("answer", "")
    elif shifts == "jumps" or delay > 2:  # up to then the threshold is near where it was, and either is right
        assert status.rung == "prototype"
        assert "came late" in status.reason
        assert status.cloud_strain == 0  # no fault of the cloud


def test_an_answer_that_expired_is_stepped_down_from_when_nobody_renews_it() -> None:
    rng, clock = np.random.default_rng(0), Clock()
    answers = [True]

    def answer(request: Any) -> Any:
        return WORLD.answer(request) if answers and answers.pop() else replace(WORLD.answer(request), bank_version=9)

    runtime = Runtime(BUNDLE, LocalCloud(answer), executor=Inline(), clock=clock)
    for _ in range(2):
        runtime.predict(WORLD.sample(1, 32, rng, 0.3)[0])
    assert runtime.status().rung == "answer"
    clock.now += 601
    runtime.predict(WORLD.sample(1, 32, rng, 0.3)[0])
    assert runtime.status().rung == "prototype"
    assert "has expired" in runtime.status().guarded


def test_a_kept_edit_comes_into_force_with_the_first_window_if_the_data_is_where_it_was() -> None:
    kept = adapted().keep()
    assert kept is not None
    assert kept.expires_s == 600
    runtime = Runtime(BUNDLE, LocalCloud(WORLD.answer), OnJump(), executor=Held(), clock=Clock())
    runtime.resume(kept)
    assert runtime.status().rung == "base"  # it is tried before it is used
    x, y = WORLD.sample(1, 32, np.random.default_rng(9), 0.3)
    assert accuracy(runtime.predict(x), y) == 1.0
    assert (runtime.status().rung, runtime.status().in_force) == ("answer", "prototype 0 + residual")
    again = runtime.keep()
    assert again is not None
    np.testing.assert_array_equal(again.residual, kept.residual)


@pytest.mark.parametrize(("domain", "threshold", "later_s"), [(-1, 0.3, 0), (1, -0.4, 0), (1, 0.3, 601)])
def test_a_kept_edit_that_does_not_fit_any_more_gives_way_to_the_nearest_prototype(
    domain: int, threshold: float, later_s: float
) -> None:
    kept, clock = adapted().keep(), Clock()
    assert kept is not None
    runtime = Runtime(replace(BUNDLE, encoder=None), clock=clock)
    runtime.resume(kept)
    clock.now += later_s
    runtime.predict(WORLD.sample(domain, 32, np.random.default_rng(9), threshold)[0])
    assert runtime.status().in_force == f"prototype {0 if domain == 1 else 1}"
    assert runtime.status().refused == 1


def test_a_kept_edit_of_another_bank_is_refused() -> None:
    kept = adapted().keep()
    assert kept is not None
    runtime = Runtime(BUNDLE)
    with pytest.raises(FingerprintMismatch, match="version 4"):
        runtime.resume(replace(kept, bank_version=4))
    with pytest.raises(WireError, match="prototype 7"):
        runtime.resume(replace(kept, prototype=7))
    with pytest.raises(WireError):
        runtime.resume(replace(kept, residual=np.full((1, 2), np.nan, np.float32)))


def test_only_an_answer_is_kept() -> None:
    runtime = Runtime(replace(BUNDLE, encoder=None))
    assert runtime.keep() is None
    runtime.predict(WORLD.sample(1, 32, np.random.default_rng(0))[0])
    assert runtime.keep() is None
    assert isinstance(adapted().keep(), KeptEdit)
