"""Popularity: the same scores for everybody, with an option to forget."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from persona.errors import DataError
from persona.tasks.recommendation.counters.base import Ages, Table, Windows, checked
from persona.tasks.recommendation.events import EventLog


@dataclass(frozen=True, eq=False)
class Popularity:
    """The share (I + 1,) of all events that each item has."""

    shares: npt.NDArray[np.float32]

    @classmethod
    def fit(cls, log: EventLog, half_life_s: float | None = None) -> Popularity:
        """Count a log's events; with a half-life, an event that much before the last one counts half.

        DataError for a half-life without times, or one that is not positive.
        """
        weights = np.ones(len(log))
        if half_life_s is not None:
            times = log.needs_times("a half-life")
            if not half_life_s > 0:
                raise DataError(f"a half-life of {half_life_s} s; wanted more than 0")
            weights = np.exp2((times - times.max(initial=0)) / half_life_s)
        counts = np.bincount(log.items, weights, minlength=log.n_items + 1)
        return cls((counts / max(counts.sum(), np.finfo(np.float64).tiny)).astype(np.float32))

    def scores(self, windows: Windows, ages: Ages | None = None) -> Table:
        """The shares, a row for each window."""
        checked(windows, len(self.shares) - 1)
        return np.repeat(self.shares[None], len(windows), axis=0)
