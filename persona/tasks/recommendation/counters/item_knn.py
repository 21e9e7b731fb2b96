"""Item-kNN: items that stood near those of the window in other people's histories, near ones and recent ones first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from persona.errors import DataError
from persona.tasks.recommendation.counters.base import Ages, Table, Windows, checked
from persona.tasks.recommendation.counters.pairs import Lags, PairTable, count_pairs
from persona.tasks.recommendation.events import EventLog


@dataclass(frozen=True)
class KnnShape:
    """How neighbours are counted and asked; the defaults were chosen on validation queries of Amazon Beauty.

    DataError for values out of range.
    """

    reach: int = 10  # events apart at most
    decay: float = 0.8  # weight for each event further apart
    backward: float = 0.25  # weight of a neighbour that came before
    popularity: float = 0.3  # 0: counts · 0.5: cosine · 1: lift; the power of both items' counts divided by
    neighbours: int = 200
    recency: float = 0.6  # weight of a window's item for each event it lies back
    half_life_s: float | None = None  # halves a neighbour's and a window item's weight; needs times

    def __post_init__(self) -> None:
        shares = (self.decay, self.backward, self.popularity, self.recency)
        if not all(0 <= share <= 1 for share in shares) or min(self.reach, self.neighbours) < 1:
            raise DataError(f"{self} is out of range; wanted shares in 0..1, reach and neighbours of at least 1")
        if self.half_life_s is not None and not self.half_life_s > 0:
            raise DataError(f"a half-life of {self.half_life_s} s; wanted more than 0")


@dataclass(frozen=True, eq=False)
class ItemKnn:
    """The heaviest neighbours of each item."""

    neighbours: PairTable
    shape: KnnShape

    @classmethod
    def fit(cls, log: EventLog, shape: KnnShape | None = None) -> ItemKnn:
        """Count a log's neighbours. DataError for a half-life where the log has no times."""
        shape = shape or KnnShape()
        counts = np.bincount(log.items, minlength=log.n_items + 1).astype(np.float64)
        scale = np.maximum(counts, 1) ** -shape.popularity
        lags = {lag: shape.decay ** (lag - 1) for lag in range(1, shape.reach + 1)}
        if shape.backward:
            lags |= {-lag: weight * shape.backward for lag, weight in lags.items()}
        table = count_pairs(
            log,
            Lags(lags, shape.half_life_s),
            lambda source, other, sums: sums * scale[source] * scale[other],
            shape.neighbours,
        )
        return cls(table, shape)

    def scores(self, windows: Windows, ages: Ages | None = None) -> Table:
        """The sum of the neighbours' weights over a window, its latest items counting most; 0 where it is empty.

        DataError where the shape has a half-life and ages are not given.
        """
        checked(windows, self.neighbours.n_items)
        back = np.arange(windows.shape[1] - 1, -1, -1)
        factors = np.broadcast_to(np.float32(self.shape.recency) ** back.astype(np.float32), windows.shape)
        if self.shape.half_life_s is not None:
            if ages is None:
                raise DataError(
                    "item-kNN was given a half-life and no ages of the window's items; pass both or neither"
                )
            factors = factors * np.exp2(-ages / np.float32(self.shape.half_life_s))
        scores = np.zeros((len(windows), self.neighbours.n_items + 1), np.float32)
        self.neighbours.add_to(scores, windows, factors.astype(np.float32))
        return scores
