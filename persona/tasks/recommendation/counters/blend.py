"""A weighted sum of counters, each made to sum to one over the items; weights are chosen on validation queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations, pairwise

import numpy as np

from persona.errors import DataError
from persona.tasks.recommendation.counters.base import Ages, Counter, Table, Windows, scored
from persona.tasks.recommendation.events import EventLog, Positions
from persona.tasks.recommendation.metrics import gains
from persona.tasks.recommendation.ranking import blocks, ranks_of, seen_before


@dataclass(frozen=True, eq=False)
class Blend:
    """Counters and the weight of each; DataError where there are not as many weights, or none above 0."""

    counters: tuple[Counter, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.counters) != len(self.weights) or min(self.weights, default=-1) < 0 or not sum(self.weights) > 0:
            raise DataError(f"{len(self.counters)} counters with weights {self.weights}; wanted one each, 0 or more")

    def scores(self, windows: Windows, ages: Ages | None = None) -> Table:
        """The weighted sum of the counters' shares."""
        parts = (
            np.float32(weight) * _shares(counter.scores(windows, ages))
            for counter, weight in zip(self.counters, self.weights, strict=True)
            if weight
        )
        return reduce(np.add, parts)


def choose_blend(
    counters: Sequence[Counter],
    log: EventLog,
    positions: Positions,
    length: int = 50,
    *,
    filter_seen: bool = True,
    most: int = 4000,
) -> Blend:
    """The blend with the best NDCG@10 on these queries, over all weights in steps of a tenth that sum to one.

    `positions` are a split's validation queries, of which at most `most`, evenly spaced, are asked; the counters must
    not have been fitted on their targets.
    """
    positions = positions[np.linspace(0, len(positions) - 1, min(most, len(positions))).astype(np.int64)]
    grid = list(_tenths(len(counters)))
    totals = np.zeros(len(grid))
    for block in blocks(positions, log.n_items):
        parts = [_shares(scored(counter, log, length)(block)) for counter in counters]
        seen = seen_before(log, block) if filter_seen else None
        for place, weights in enumerate(grid):
            mixed = reduce(np.add, (np.float32(w) * part for w, part in zip(weights, parts, strict=True) if w))
            totals[place] += gains(ranks_of(mixed, log.items[block], seen), 10).sum()
    return Blend(tuple(counters), grid[int(totals.argmax())])


def _shares(scores: Table) -> Table:
    sums = scores[:, 1:].sum(1, keepdims=True)
    return (scores / np.where(sums > 0, sums, 1)).astype(np.float32)


def _tenths(parts: int) -> Iterator[tuple[float, ...]]:
    """All ways to share ten tenths among so many parts."""
    if parts < 1:
        raise DataError("a blend of no counters was asked for; wanted at least one")
    for bars in combinations(range(10 + parts - 1), parts - 1):
        edges = (-1, *bars, 10 + parts - 1)
        yield tuple((right - left - 1) / 10 for left, right in pairwise(edges))
