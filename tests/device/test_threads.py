"""Many threads predict while edits swap: every result is that of one edit, whole."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from persona.device import DeviceModel, Options, Runtime
from persona.device.graph import RunsOn
from persona.device.store import Store
from persona.edit import Array
from tests.device.devices import LocalCloud
from tests.worlds import World


@pytest.fixture(autouse=True)
def restless() -> Iterator[None]:
    """Let threads take turns far more often than they do by default, so that what can go wrong between them does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def in_threads(*jobs: Callable[[], None]) -> None:
    """Run jobs at once; raise what any of them raised."""
    errors: list[BaseException] = []

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def predict_while_swapping(
    predict: Callable[[], Array], use: Callable[[int], None], possible: list[Array], threads: int = 3, swaps: int = 0
) -> None:
    """Call `predict` in threads, 100 times each, while `use` swaps, at least so many times; every result must be one of
    two possible ones, bit by bit."""
    left = [100] * threads
    seen = [0, 0]
    swapped = [0]

    def swap() -> None:
        while any(left) or swapped[0] < swaps:
            swapped[0] += 1
            use(swapped[0] % 2)

    def check(thread: int) -> None:
        try:
            while left[thread] or swapped[0] < swaps:
                logits = predict()
                matches = [np.array_equal(logits, one) for one in possible]
                assert sum(matches) == 1, "a torn result"
                seen[matches.index(True)] += 1
                left[thread] = max(left[thread] - 1, 0)
        except BaseException:
            swapped[0] = swaps  # let the others end
            raise
        finally:
            left[thread] = 0

    in_threads(swap, *(partial(check, thread) for thread in range(threads)))
    assert min(seen) > 0


def test_a_run_keeps_its_weights_while_others_are_made() -> None:
    world = World(channels=2048)  # wide enough for a run to take longer than it takes to write a weight
    x, _ = world.sample(1, 512, np.random.default_rng(0))
    edits = [world.edit(1), world.edit(-1)]
    model = DeviceModel(world.bundle)
    possible = [model.run(x, model.weights(edit))[0] for edit in edits]
    in_force = [model.weights(edits[0])]

    def use(turn: int) -> None:
        in_force[0] = model.weights(edits[turn])

    predict_while_swapping(lambda: model.run(x, in_force[0])[0], use, possible)


def test_every_prediction_under_swaps_is_exactly_that_of_one_edit() -> None:
    world = World()
    x, _ = world.sample(1, 32, np.random.default_rng(0))
    edits = [world.edit(1), world.edit(-1)]
    model = DeviceModel(world.bundle)
    possible = [model.run(x, model.weights(edit))[0] for edit in edits]
    runtime = Runtime(world.bundle)
    runtime.use(edits[0])
    predict_while_swapping(lambda: runtime.predict(x), lambda turn: runtime.use(edits[turn]), possible)


@pytest.mark.parametrize("swaps", [300, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
@pytest.mark.parametrize("runs_on", ["onnxruntime", "numpy"])
def test_under_8_threads_every_result_is_that_of_one_of_two_edits(swaps: int, runs_on: RunsOn, tmp_path: Path) -> None:
    world = World()
    x, _ = world.sample(1, 32, np.random.default_rng(0))
    edits = [world.edit(1), world.edit(-1)]
    with Store(tmp_path) as store:
        options = Options(runs_on=runs_on, store=store)
        model = DeviceModel(world.bundle, runs_on=runs_on)
        possible = [model.run(x, model.weights(edit))[0] for edit in edits]
        with Runtime(world.bundle, options=options) as runtime:
            runtime.use(edits[0])
            predict_while_swapping(
                lambda: runtime.predict(x), lambda turn: runtime.use(edits[turn]), possible, 8, swaps
            )
            assert runtime.status().storage == ""
        assert store.edit(world.bundle) is None, "an edit by hand is its app's to put in force again"


def test_while_answers_arrive_and_domains_change_every_result_is_that_of_one_edit() -> None:
    world = World()
    rng = np.random.default_rng(0)
    windows = [world.sample(domain, 32, rng)[0] for domain in (1, -1)]
    edits = (None, world.edit(1), world.edit(-1))
    cloud = LocalCloud(lambda request: replace(world.answer(request), residual=None))
    with Runtime(world.bundle, cloud, options=Options(sketch_share=0.5)) as runtime:

        def predict() -> None:
            for turn in range(150):
                x = windows[turn // 10 % 2]
                logits = runtime.predict(x)
                assert any(np.allclose(logits, world.logits(x, edit), rtol=1e-4, atol=1e-4) for edit in edits)

        in_threads(*[predict] * 4)
    status = runtime.status()
    assert status.replies == status.asks == len(cloud.requests) > 0
    assert status.bytes_up == sum(len(request.encode()) for request in cloud.requests)
    assert status.jumps > 0
