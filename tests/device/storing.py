"""Devices with a state on disk."""

from __future__ import annotations

import numpy as np

from persona.bundle import Bundle
from persona.device import Options, Runtime
from persona.device.store import Store
from tests.device.devices import Clock, Inline, LocalCloud
from tests.worlds import World

WORLD = World()


X = {domain: WORLD.sample(domain, 32, np.random.default_rng(7), 0.3)[0] for domain in (1, -1)}


ANSWER = "prototype 0 + residual"


def start(store: Store, bundle: Bundle | None = None, cloud: LocalCloud | None = None) -> Runtime:
    """Return a runtime, by default without a cloud, which writes before its calls return."""
    found = bundle or store.bundle()
    assert found is not None
    return Runtime(found, cloud, executor=Inline(), clock=Clock(), options=Options(store=store))


def adapted(store: Store) -> Runtime:
    """Return a runtime in which the answer for domain +1 is in force."""
    runtime = start(store, WORLD.bundle, LocalCloud(WORLD.answer))
    runtime.predict(X[1])
    assert runtime.status().in_force == ANSWER
    return runtime
