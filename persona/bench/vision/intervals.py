"""Comparing two rows on the devices that both have: paired differences and shares, with intervals by bootstrap.

Devices are drawn with replacement (Efron, 1979: the percentile interval); training seeds are averaged first, and their
spread is kept beside it, because three seeds are too few to draw from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from persona.bench.bootstrap import BOOTSTRAPS, drawn, interval
from persona.bench.vision.summary import Cell, Device, Floats, mean_of
from persona.errors import DataError


class Difference(NamedTuple):
    """A mean difference in points, its 95 % interval, and the mean difference with each common training seed."""

    mean: float
    low: float
    high: float
    seeds: tuple[float, ...] = ()

    def __str__(self) -> str:
        return f"{self.mean:+.1f} [{self.low:+.1f}, {self.high:+.1f}]"


class Share(NamedTuple):
    """What is kept of a gain, in %, its 95 % interval, and the gain itself in points."""

    percent: float
    low: float
    high: float
    gain: float


def paired_interval(ours: Cell, theirs: Cell, seed: int = 0) -> Difference:
    """Return `ours` minus `theirs` over devices and training seeds that both have; DataError where there are none."""
    values = _paired(ours, theirs)[1]
    return _summed([mean_of(values, 0)], tuple(float(mean) for mean in mean_of(values, 1)), seed)


def first_window_interval(ours: Cell, theirs: Cell, seed: int = 0) -> Difference:
    """Return the difference on first windows after a shift alone; DataError where there are none in common."""
    mine, other = (dict(zip(c.devices, c.first_windows(), strict=True)) for c in (ours, theirs))
    values = np.array([mine[device] - other[device] for device in ours.devices if device in other])
    return _summed([values], (), seed)


def mean_interval(pairs: Sequence[tuple[Cell, Cell]], seed: int = 0) -> Difference:
    """Return the mean of several paired differences, each one's devices drawn apart; DataError as `paired_interval`."""
    if not pairs:
        raise DataError("a mean over no pairs of rows; give at least one pair")
    return _summed([mean_of(_paired(ours, theirs)[1], 0) for ours, theirs in pairs], (), seed)


def low_decile_interval(ours: Cell, theirs: Cell, seed: int = 0) -> Difference:
    """Return the difference of the 10th percentile of devices, its interval by drawing the devices of each run."""
    mine, other = on_common(ours, theirs)
    rng, streams = np.random.default_rng(seed), np.array([stream for stream, _ in mine.devices])
    draws = np.zeros(BOOTSTRAPS)
    for stream in mine.streams:
        where = np.flatnonzero(streams == stream)
        chosen = where[rng.integers(len(where), size=(BOOTSTRAPS, len(where)))]
        for cell, sign in ((mine, 1), (other, -1)):
            rows = [row for row in cell.per_run if np.isfinite(row[where]).all()]
            draws += sign * np.mean([np.quantile(row[chosen], 0.1, axis=1) for row in rows], axis=0)
    low, high = interval(draws / len(mine.streams))
    return Difference(mine.low_decile() - other.low_decile(), low, high)


def kept_share(late: tuple[Cell, Cell], whole: tuple[Cell, Cell], seed: int = 0) -> Share:
    """Return how much of the gain of the pair `whole` (ours, theirs) the pair `late` keeps.

    DataError where the pairs share no device. Where `whole` gains nothing there is nothing to keep: NaN.
    """
    by_device = [
        dict(zip(devices, mean_of(values, 0), strict=True)) for devices, values in (_paired(*late), _paired(*whole))
    ]
    common = [d for d in by_device[0] if np.isfinite(by_device[0][d]) and np.isfinite(by_device[1].get(d, np.nan))]
    if not common:
        raise DataError("two pairs of rows share no device; run all on the same stream seeds")
    values = np.array([[one[device] for device in common] for one in by_device])
    kept, gain = (float(mean) for mean in values.mean(axis=1))
    if gain <= 0:
        return Share(float("nan"), float("nan"), float("nan"), gain)
    draws = values @ drawn(len(common), seed).T
    shares = 100 * draws[0] / np.maximum(draws[1], 1e-9)
    low, high = interval(shares)
    return Share(100 * kept / gain, low, high, gain)


def on_common(ours: Cell, theirs: Cell) -> tuple[Cell, Cell]:
    """Return both cells on the devices and training seeds that both cover; DataError where there are none."""
    devices = tuple(device for device in ours.devices if device in set(theirs.devices))
    trains = tuple(train for train in ours.trains if train in theirs.trains)
    if not devices or not trains:
        raise DataError("two rows share no device of one training seed; run both on the same seeds")
    return _restricted(ours, trains, devices), _restricted(theirs, trains, devices)


def _restricted(cell: Cell, trains: tuple[int, ...], devices: tuple[Device, ...]) -> Cell:
    at = [cell.devices.index(device) for device in devices]
    seeds = [cell.trains.index(train) for train in trains]
    return Cell(cell.accuracy[np.ix_(seeds, at)], cell.first[at], trains, devices)


def _paired(ours: Cell, theirs: Cell) -> tuple[tuple[Device, ...], Floats]:
    """Return the devices that both have, and differences (T, D) with the training seeds that both have."""
    mine, other = on_common(ours, theirs)
    values = mine.per_run - other.per_run
    if not np.isfinite(values).any():
        raise DataError("two rows share no device of one training seed; run both on the same seeds")
    return mine.devices, values


def _summed(strata: Sequence[Floats], seeds: tuple[float, ...], seed: int) -> Difference:
    means, draws = [], np.zeros(BOOTSTRAPS)
    for at, stratum in enumerate(strata):
        values = stratum[np.isfinite(stratum)]
        if not values.size:
            raise DataError("two rows share no window of this kind; run both on the same streams")
        means.append(values.mean())
        draws = draws + drawn(len(values), seed + at) @ values
    low, high = interval(draws / len(strata))
    return Difference(float(np.mean(means)), low, high, seeds)
