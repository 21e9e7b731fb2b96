"""Processes that are killed while they write a device's state. Run as a module, it forks one for each line it reads.

A line is JSON: ``{"job": "steps", "folder": …, "acks": …, "kill_at": k}`` kills itself with SIGKILL after the k-th step
towards the disk; ``{"job": "random", "folder": …, "after_s": t}`` runs a runtime that swaps answers, killed t
seconds after its first. The answer is the signal that ended the process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from persona.bundle import Bundle
from persona.device import Observation, Options, Runtime
from persona.device.store import KeptEdit, Store
from persona.edit import Array
from persona.sketch import Sketch
from persona.wire import AdaptReply, AdaptRequest
from tests.device.devices import LocalCloud
from tests.worlds import BANK_VERSION, World

WORLDS = {"a": World(), "b": World(window=16)}


RESIDUALS = (0.125, -0.125)  # of the two answers between which a runtime swaps


def kept_edit(domain: int) -> KeptEdit:
    """Return an answer as it was in force in a domain."""
    place = Sketch(32, np.full(8, 32.0 * domain), np.zeros(0))
    return KeptEdit(int(domain < 0), np.full((1, 2), domain / 8, np.float32), place, BANK_VERSION)


def name_of(edit: KeptEdit | None) -> str:
    """Return what the tests call an answer that was kept; a half of one and a half of another is an error."""
    if edit is None:
        return "none"
    domain = -1 if edit.prototype else 1
    wanted = kept_edit(domain)
    assert np.array_equal(edit.residual, wanted.residual), "a mixed edit"
    assert np.array_equal(edit.place.moments, wanted.place.moments), "a mixed edit"
    return f"edit {domain}"


@dataclass(frozen=True)
class State:
    """What a store holds, in words: the bundle's name, its bank's version, the edit's name, what is trusted."""

    bundle: str = "none"
    bank: int = 0
    edit: str = "none"
    trusted: str = "none"

    @classmethod
    def of(cls, store: Store) -> State:
        bundle = store.bundle()
        trusted = store.trusted()
        said = "none" if trusted is None else trusted.decode()
        if bundle is None:
            return cls(trusted=said)
        name = next(name for name, world in WORLDS.items() if world.bundle.fingerprint == bundle.fingerprint)
        return cls(name, bundle.bank.version, name_of(store.edit(bundle)), said)


@dataclass
class Script:
    """Writes one after another; `states[n]` is what the store holds after the first n."""

    states: list[State] = field(default_factory=lambda: [State()])

    def run(self, store: Store, skip: int = 0, acks: int | None = None) -> None:
        """Run all writes but the first few, and write a byte to a file for each that returned."""
        for index, (kind, value) in enumerate(self.writes()):
            if index >= skip:
                self._write(store, kind, value)
                if acks is not None:
                    os.write(acks, b".")
            self.states.append(self._after(kind, value))

    def writes(self) -> list[tuple[str, Any]]:
        first = [("bundle", "a"), ("trusted", "1"), ("edit", 1), ("bank", 4), ("edit", -1), ("trusted", "2")]
        return [*first, ("bundle", "b"), ("edit", 1), ("bank", 5), ("edit", None), ("edit", -1), ("bundle", "a")]

    def _bundle(self) -> Bundle:
        return WORLDS[self.states[-1].bundle].bundle

    def _write(self, store: Store, kind: str, value: Any) -> None:
        if kind == "bundle":
            store.keep_bundle(WORLDS[value].bundle)
        elif kind == "trusted":
            store.keep_trusted(value.encode())
        elif kind == "bank":
            store.keep_bank(replace(self._bundle().bank, version=value), self._bundle().fingerprint)
        else:
            store.keep_edit(None if value is None else kept_edit(value), self._bundle().fingerprint)

    def _after(self, kind: str, value: Any) -> State:
        before = self.states[-1]
        if kind == "bundle":
            return State(value, WORLDS[value].bundle.bank.version, "none", before.trusted)
        if kind == "edit":
            return replace(before, edit="none" if value is None else f"edit {value}")
        return replace(before, **{kind: value})


def steps_of(folder: Path) -> int:
    """Return how many steps towards the disk the whole script takes."""
    steps: list[str] = []
    with Store(folder, after_step=steps.append) as store:
        Script().run(store)
    return len(steps)


def die_at_step(folder: str, acks: str, kill_at: int) -> None:
    """Run the script until the k-th step."""
    left = [kill_at]

    def after_step(_: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    Script().run(Store(Path(folder), after_step=after_step), acks=os.open(acks, os.O_WRONLY | os.O_CREAT))


class Never:
    """A policy that asks for nothing: the loop below asks."""

    def should_ask(self, seen: Observation) -> bool:
        return False


@cache
def samples() -> Array:
    return WORLDS["a"].sample(1, 32, np.random.default_rng(0))[0]


def die_at_random(folder: str, after_s: float) -> None:
    """Swap answers in a runtime that keeps its state, until the end."""
    turns = count()

    def answer(request: AdaptRequest) -> AdaptReply:
        residual = np.full((1, 2), RESIDUALS[next(turns) % 2], np.float32)
        return AdaptReply(request.fingerprint, 0, BANK_VERSION, 0, residual, "float32")

    runtime = Runtime(WORLDS["a"].bundle, LocalCloud(answer), Never(), options=Options(store=Store(Path(folder))))
    timer = threading.Timer(after_s, lambda: os.kill(os.getpid(), signal.SIGKILL))
    for turn in range(1_000_000):
        runtime.predict(samples())
        assert not runtime.adapt().reason
        if turn == 0:
            timer.start()


def main() -> None:
    """Answer every line of standard input."""
    jobs = {"steps": die_at_step, "random": die_at_random}
    for line in sys.stdin:
        order = json.loads(line)
        job = jobs[order.pop("job")]
        child = os.fork()
        if child == 0:
            job(**order)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
