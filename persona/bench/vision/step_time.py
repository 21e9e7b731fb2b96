"""How long a training step takes, ours against the plain net's, on the same episodes (target C5)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from persona.training.loop import Schedule, train_adapter, train_base
from persona.training.suite import Workshop

BLOCKS, STEPS = 4, 6  # the two take turns by blocks, so that what else the machine does falls on both


def training_step_ms(
    shop: Workshop, blocks: int = BLOCKS, steps: int = STEPS, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Return the median time of a step in ms: "static" for the plain net's, "persona" for ours with its base.

    Both draw, read and learn from the same number of pictures; the first step of a block is left out. Nothing is kept.
    Errors as those of training.
    """
    task, recipe, config = shop.task, shop.recipe, shop.config()
    schedule = Schedule(steps, config.schedule.learning_rate)
    plain, base = recipe.build_base(), recipe.build_base()
    model = recipe.build_model(base, task.input_shape)
    adapter = recipe.build_adapter(model)
    own = replace(config, schedule=schedule)
    found: dict[str, list[float]] = {"static": [], "persona": []}
    for _ in range(blocks):
        ticks = _Ticks(clock)
        train_base(plain, task.training(), schedule, ticks)
        found["static"] += ticks.between()
        ticks = _Ticks(clock)
        train_adapter(model, adapter, task.training(), own, ticks)
        found["persona"] += ticks.between()
    return {name: 1e3 * float(np.median(times)) for name, times in found.items()}


class _Ticks:
    """Notes when each step ended."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ends: list[float] = []

    def __call__(self, step: int, steps: int, loss: float) -> None:
        self._ends.append(self._clock())

    def between(self) -> list[float]:
        return np.diff(self._ends).tolist()
