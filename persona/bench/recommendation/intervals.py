"""Comparing rows on the same queries: relative gains and shares of a gap, with intervals by bootstrap over users.

Users are drawn with replacement, all queries of one together; seeds that all rows have are averaged first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from persona.bench.bootstrap import drawn, interval
from persona.bench.recommendation.summary import Cell, Chosen, Floats, Stored
from persona.errors import DataError

Measure = Callable[[Cell], Floats]  # a row's figure by seed and query (S, Q)


class Estimate(NamedTuple):
    """A figure in % with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.1f} [{self.low:+.1f}, {self.high:+.1f}]"


def relative_gain(
    stored: Stored, rows: tuple[str, str], chosen: Chosen | None = None, measure: Measure = Cell.ndcg
) -> Estimate:
    """Return how much more the first row reaches than the second, in % of it; DataError where they share nothing."""
    draws = _means(stored, rows, chosen, measure)
    return _estimate(100 * (draws[0] / np.maximum(draws[1], 1e-12) - 1))


def share_closed(
    stored: Stored, rows: tuple[str, str, str], chosen: Chosen | None = None, measure: Measure = Cell.ndcg
) -> Estimate:
    """Return what share of the way from `rows[1]` to `rows[2]` the first row goes, in %; NaN where there is no way."""
    draws = _means(stored, rows, chosen, measure)
    way = draws[2] - draws[1]
    if way[0] == 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    return _estimate(100 * (draws[0] - draws[1]) / np.where(np.abs(way) < 1e-12, 1e-12, way))


def losses_of(cell: Cell) -> Floats:
    """Return a row's losses (S, Q); DataError where it has none."""
    if cell.losses is None:
        raise DataError("a row without probabilities has no loss")
    return cell.losses


def _means(stored: Stored, rows: tuple[str, ...], chosen: Chosen | None, measure: Measure) -> Floats:
    """Return each row's mean (R, 1 + draws): over all users first, then over each draw of them."""
    cells = [stored.cells[row] for row in rows]
    seeds = [seed for seed in cells[0].seeds if all(seed in cell.seeds for cell in cells)]
    keep = np.ones(len(stored.users), bool) if chosen is None else chosen
    if not seeds or not keep.any():
        raise DataError(f"{' and '.join(rows)} of {stored.name} share no seed or no query; run them on the same seeds")
    users, which = np.unique(stored.users[keep], return_inverse=True)
    counts = np.bincount(which)
    weights = np.concatenate([np.ones((1, len(users))), drawn(len(users))])
    found = []
    for cell in cells:
        values = measure(cell)[[cell.seeds.index(seed) for seed in seeds]][:, keep].mean(axis=0)
        found.append((weights @ np.bincount(which, values)) / (weights @ counts))
    return np.stack(found)


def _estimate(values: Floats) -> Estimate:
    return Estimate(float(values[0]), *interval(values[1:]))
