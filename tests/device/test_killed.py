"""``kill -9`` at every write, and at any time: nothing is lost, nothing is half applied."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from persona.device import DeviceModel, Options, Runtime
from persona.device.store import Store
from tests.device.dying import RESIDUALS, WORLDS, Script, State, samples, steps_of

Kill = Callable[..., None]


@pytest.fixture(scope="module")
def kill() -> Iterator[Kill]:
    """Let a process of its own run a job until SIGKILL ends it."""
    command = [sys.executable, "-m", "tests.device.dying"]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None
    assert server.stdout is not None
    said, answers = server.stdin, server.stdout

    def run(**order: Any) -> None:
        said.write(json.dumps(order) + "\n")
        said.flush()
        assert answers.readline().strip() == str(int(signal.SIGKILL))

    yield run
    said.close()
    assert server.wait(60) == 0
    answers.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: flushing thousands of times to a disk is what would take long."""
    memory = Path("/dev/shm")  # noqa: S108 : a folder of its own in there
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as name:
        yield Path(name)


def test_after_a_kill_at_every_step_the_state_is_the_one_before_the_write_or_after_it(kill: Kill, folder: Path) -> None:
    total = steps_of(folder / "whole")
    assert total > 60
    script = Script()
    with Store(folder / "whole") as store:
        script.run(store, skip=len(script.writes()))
        assert State.of(store) == script.states[-1]
    between = set()
    for step in range(1, total + 1):
        state, acks = folder / str(step), folder / f"{step}.acks"
        kill(job="steps", folder=str(state), acks=str(acks), kill_at=step)
        done = acks.stat().st_size
        with Store(state) as store:
            found = State.of(store)
            assert found in script.states[done : done + 2], f"step {step}, after {done} writes"
            between.add(found == script.states[done])
            if step % 8 == 0:
                Script().run(store, skip=done)
                assert State.of(store) == script.states[-1], "it goes on where it was"
                assert not list(state.glob("*.new")), "the next write takes the place of a part that was left"
        assert not list(state.glob("*.damaged"))
    assert between == {True, False}


def die_and_start_again(kill: Kill, folder: Path, after_s: float) -> str:
    """Return what is in force after a kill, with predictions that are exactly those of one edit."""
    kill(job="random", folder=str(folder), after_s=after_s)
    world = WORLDS["a"]
    model = DeviceModel(world.bundle)
    with Store(folder) as store:
        bundle = store.bundle()
        assert bundle is not None, "the bundle was kept before the first edit"
        with Runtime(bundle, options=Options(store=store)) as runtime:
            logits = runtime.predict(samples())  # the first window: what was kept is tried, and comes into force
            in_force = runtime.status().in_force
    assert not list(folder.glob("*.damaged"))
    residuals = {"prototype 0": [0.0], "prototype 0 + residual": RESIDUALS}[in_force]  # without: none was on disk yet
    codes = [world.bank.codes[0] + np.float32(residual) for residual in residuals]
    edits = [world.decoder.decode(code) for code in codes]
    assert any(np.array_equal(logits, model.run(samples(), model.weights(edit))[0]) for edit in edits)
    return in_force


def test_after_a_kill_at_any_time_a_device_starts_with_one_whole_edit(kill: Kill, folder: Path) -> None:
    rng = np.random.default_rng(0)
    found = [die_and_start_again(kill, folder / str(run), float(rng.uniform(0, 0.05))) for run in range(12)]
    assert "prototype 0 + residual" in found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_after_200_kills_at_any_time_nothing_was_lost(kill: Kill, folder: Path) -> None:
    rng = np.random.default_rng(1)
    state = folder / "state"  # one folder: what a killed process leaves is what the next one starts from
    found = [die_and_start_again(kill, state, float(rng.uniform(0, 0.05))) for _ in range(200)]
    assert found.count("prototype 0 + residual") >= 199, "what was kept once is there again"
