"""Processes that are killed while they write a device's state. Run as a module, it forks one for each line it reads.

A line is JSON: ``{"job": "steps", "folder": …, "acks": …, "kill_at": k}`` kills itself with SIGKILL after the k-th step
towards the disk; ``{"job": "random", "folder": …, "after_s": t}`` runs a runtime that swaps edits, killed t seconds
after its first. The answer is the signal that ended the process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from persona.bundle import Bundle
from persona.device import Options, Runtime
from persona.device.store import KeptEdit, Store
from persona.edit import Array
from persona.sketch import Sketch
from tests.worlds import World

WORLDS = {"a": World(), "b": World(window=16)}


def kept_edit(domain: int) -> KeptEdit:
    """Return an edit as it was in force in a domain."""
    world = WORLDS["a"]
    return KeptEdit(f"edit {domain}", world.edit(domain).apply(world.base), Sketch(32, np.full(8, 32.0), np.zeros(0)))


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
        edit = store.edit(bundle)
        if edit is not None:
            wanted = kept_edit(int(edit.name.removeprefix("edit "))).weights
            assert all(np.array_equal(edit.weights[n], wanted[n]) for n in wanted), "a mixed edit"
        return cls(name, bundle.bank.version, "none" if edit is None else edit.name, said)


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


@cache
def samples() -> Array:
    return WORLDS["a"].sample(1, 32, np.random.default_rng(0))[0]


def die_at_random(folder: str, after_s: float) -> None:
    """Swap edits in a runtime that keeps its state, until the end."""
    world = WORLDS["a"]
    store = Store(Path(folder))
    runtime = Runtime(world.bundle, options=Options(store=store))
    timer = threading.Timer(after_s, lambda: os.kill(os.getpid(), signal.SIGKILL))
    for turn in range(1_000_000):
        runtime.use(world.edit(1 if turn % 2 else -1))
        runtime.predict(samples())
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
