"""Pairs of items that a user met one near the other, counted into a sparse table, item by item."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from persona.tasks.recommendation.counters.base import Table, Windows
from persona.tasks.recommendation.events import EventLog
from persona.tasks.recommendation.ranking import stretches

PAIRS = 1 << 22  # pairs at a time: about 200 MB while they are sorted
Weigh = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]], npt.NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class PairTable:
    """Row i lists other items and their weights: ``items[starts[i]:starts[i + 1]]`` (I + 2 starts)."""

    starts: npt.NDArray[np.int64]
    items: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]

    @property
    def n_items(self) -> int:
        """How many items I there are beside padding."""
        return len(self.starts) - 2

    def add_to(self, scores: Table, windows: Windows, factors: npt.NDArray[np.float32]) -> None:
        """Add to scores (B, I + 1) the row of every item in windows (B, L), times its factor (B, L)."""
        flat, width = scores.reshape(-1), scores.shape[1]
        for column in range(windows.shape[1]):
            sources = windows[:, column].astype(np.int64)
            rows, places = stretches(self.starts[sources], self.starts[sources + 1])
            # No item stands twice in a row, so no cell is named twice here.
            flat[rows * width + self.items[places]] += self.weights[places] * factors[rows, column]


@dataclass(frozen=True, eq=False)
class Lags:
    """Which neighbours of an event count: weights by signed distance (+1: the next event), halved with time."""

    weights: Mapping[int, float]
    half_life_s: float | None = None


def count_pairs(log: EventLog, lags: Lags, weigh: Weigh, most: int | None = None) -> PairTable:
    """The table of a log's pairs; `weigh(sources, others, sums)` scales the sums, and a row keeps its `most` heaviest.

    An item is never its own neighbour. Memory is bounded by the pairs of one item or 4 million, and by the table.
    """
    sources, others, weights = [], [], []
    for of_chunk in _chunks(log, len(lags.weights)):
        source, other, weight = _summed(log, of_chunk, lags)
        weight = weigh(source, other, weight)
        order = np.lexsort((other, -weight, source)) if most is not None else np.arange(len(source))
        source = source[order]
        place = np.arange(len(source)) - np.searchsorted(source, source)
        kept = place < most if most is not None else np.ones(len(source), np.bool_)
        sources.append(source[kept])
        others.append(other[order][kept].astype(np.int32))
        weights.append(weight[order][kept].astype(np.float32))
    counts = np.bincount(np.concatenate([np.zeros(0, np.int64), *sources]), minlength=log.n_items + 1)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return PairTable(
        starts,
        np.concatenate([np.zeros(0, np.int32), *others]),
        np.concatenate([np.zeros(0, np.float32), *weights]),
    )


def _chunks(log: EventLog, n_lags: int) -> Iterator[npt.NDArray[np.int64]]:
    """Positions of events by item, all of an item's in one chunk."""
    order = np.argsort(log.items, kind="stable")
    ends = np.cumsum(np.bincount(log.items, minlength=log.n_items + 1))
    start = 0
    while start < len(order):
        wanted = start + PAIRS // max(1, n_lags)
        fitting = int(ends[np.searchsorted(ends, wanted, side="right") - 1]) if wanted >= ends[0] else 0
        end = fitting if fitting > start else int(ends[np.searchsorted(ends, start, side="right")])
        yield order[start:end]
        start = end


def _summed(
    log: EventLog, events: npt.NDArray[np.int64], lags: Lags
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Distinct pairs of these events' items with their neighbours, sorted, and the sum of their weights."""
    width = log.n_items + 1
    keys, weights = [np.zeros(0, np.int64)], [np.zeros(0)]
    for lag, weight in lags.weights.items():
        near = events[(events + lag >= 0) & (events + lag < len(log))]
        near = near[(log.users[near] == log.users[near + lag]) & (log.items[near] != log.items[near + lag])]
        keys.append(log.items[near].astype(np.int64) * width + log.items[near + lag])
        weights.append(np.full(len(near), weight))
        if lags.half_life_s is not None:
            times = log.needs_times("a half-life")
            weights[-1] *= np.exp2(-np.abs(times[near] - times[near + lag]) / lags.half_life_s)
    distinct, place = np.unique(np.concatenate(keys), return_inverse=True)
    sums = np.bincount(place, np.concatenate(weights), minlength=len(distinct)).astype(np.float64)
    return distinct // width, distinct % width, sums
