"""Times of several ways to do a thing that take turns, so that whatever else the machine does falls on all alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Clock = Callable[[], float]
Ways = Mapping[str, Callable[[], Any]]
WARM_UP = 10


def interleaved(ways: Ways, repetitions: int, clock: Clock) -> dict[str, float]:
    """Return the median time of each way in µs, after a warm-up."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repetitions + WARM_UP):
        for name, way in ways.items():
            start = clock()
            way()
            if turn >= WARM_UP:
                times[name].append(1e6 * (clock() - start))
    return {name: float(np.median(values)) for name, values in times.items()}
