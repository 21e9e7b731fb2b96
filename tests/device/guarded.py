"""The world of two domains with a tether and its adapter on the device; limits are measured as export does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from persona.bundle import Bundle
from persona.sketch import Sketch
from persona.tether import MOST, USUAL, Limits, Tether
from tests.worlds import World

WINDOWS = 400


def guarded(world: World, default: int | None = None) -> Bundle:
    """Return the world's bundle with tether and encoder, as read from its file."""
    bundle = replace(world.bundle, tether=tether_of(world, default), encoder=world.encoder)
    return Bundle.from_bytes(bundle.to_bytes())


def tether_of(world: World, default: int | None = None) -> Tether:
    """Return the tether of the perfect adapter's codes, over thresholds up to 0.4 either way."""
    rng, bank = np.random.default_rng(5), world.bank
    plain = Tether(np.eye(2, dtype=np.float32), *[Limits(1, 1, 1, 1, 1, 1)] * 2)
    rows = []
    for _ in range(WINDOWS):
        domain, threshold = int(rng.choice([-1, 1])), float(rng.uniform(-0.4, 0.4))
        own, code = [], world.code(domain, threshold)
        x = x_next = world.sample(domain, 32, rng, threshold)[0]
        for x_next in (x, world.sample(domain, 32, rng, threshold)[0]):
            sketch = Sketch.of(world.bundle.sketch, world.moments(x_next), world.logits(x_next))
            own.append(bank.own_code(sketch.features(world.bundle.sketch)))
        code = np.array([[domain, own[0][0, 1]]], np.float32)
        prototype = bank.codes[bank.assign(code)[0]]
        answers = [world.logits(x_next, world.decoder.decode(c)).argmax(axis=1) for c in (code, prototype)]
        base = world.logits(x_next).argmax(axis=1)
        distances = [plain.distance(c, o) for o in own for c in (code, prototype)]
        flips, change = np.mean(answers[0] != answers[1]), max(np.mean(a != base) for a in answers)
        rows.append([*distances, flips, change])
    usual, most = (Limits(*map(float, np.maximum(q, 0.02))) for q in np.quantile(rows, (USUAL, MOST), axis=0))
    return Tether(np.eye(2, dtype=np.float32), usual, most, default)
