"""Stored units → figures: each row in each setting and timing, whichever seeds it was run on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from persona.bench.store import read_rows
from persona.bench.vision.store import Unit, unpack
from persona.errors import DataError

Floats = npt.NDArray[np.float64]
Marks = npt.NDArray[np.bool_]
Device = tuple[int, int]  # stream seed, number within the stream
TIMINGS = ("same", "causal", "constant")


@dataclass(frozen=True, eq=False)
class Cell:
    """One row in one setting and timing: accuracies in % by (training seed, device, window), NaN where not measured.

    `first` (device, window) says where a segment begins after another; `trains` (T) are the training seeds and
    `devices` (D) the devices that it covers.
    """

    accuracy: Floats  # (T, D, W)
    first: Marks  # (D, W)
    trains: tuple[int, ...]
    devices: tuple[Device, ...]

    @property
    def streams(self) -> tuple[int, ...]:
        """The stream seeds it covers."""
        return tuple(sorted({stream for stream, _ in self.devices}))

    @property
    def per_run(self) -> Floats:
        """Accuracy of each device with each training seed (T, D)."""
        return mean_of(self.accuracy, 2)

    @property
    def per_device(self) -> Floats:
        """Accuracy of each device (D,), averaged over training seeds."""
        return mean_of(self.per_run, 0)

    @property
    def mean(self) -> float:
        """Mean over devices."""
        return float(mean_of(self.per_device, 0))

    @property
    def seeds(self) -> Floats:
        """Mean of each training seed (T,)."""
        return mean_of(self.per_run, 1)

    @property
    def after_shift(self) -> float:
        """Mean over the first windows after a shift; NaN where there is none."""
        return float(mean_of(self.first_windows(), 0))

    def first_windows(self) -> Floats:
        """Return the mean of each device (D,) over its first windows after a shift, NaN where it has none."""
        return mean_of(mean_of(np.where(self.first, self.accuracy, np.nan), 2), 0)

    def worst(self) -> float:
        """Return the worst device of a run (one training seed, one stream seed), averaged over runs."""
        return float(np.mean([run.min() for run in self._runs()]))

    def low_decile(self) -> float:
        """Return the 10th percentile of the devices of a run, averaged over runs."""
        return float(np.mean([np.quantile(run, 0.1) for run in self._runs()]))

    def _runs(self) -> Iterator[Floats]:
        streams = np.array([stream for stream, _ in self.devices])
        for row in self.per_run:
            for stream in self.streams:
                run = row[streams == stream]
                if np.isfinite(run).any():
                    yield run[np.isfinite(run)]


Table = Mapping[str, Mapping[str, Mapping[str, Cell]]]  # setting → timing → row


def mean_of(values: Floats, axis: int) -> Floats:
    """Return the mean along an axis over what is not NaN; NaN where nothing is."""
    there = np.isfinite(values)
    count = there.sum(axis=axis)
    total = np.where(there, values, 0.0).sum(axis=axis)
    return np.asarray(np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0), np.float64)


def read_units(folder: Path) -> dict[Unit, dict[str, Any]]:
    """Return the content of every unit in a folder; DataError where one is damaged or not what its name says."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        unit = Unit.of(path)
        if unit is None:
            continue
        content = read_rows(path)
        if (content.get("train"), content.get("stream"), content.get("setting")) != (
            unit.train,
            unit.stream,
            unit.setting,
        ):
            raise DataError(f"results {path} are of another unit than their name says; delete the file, and run again")
        found[unit] = content
    return found


def table_of(units: Mapping[Unit, Mapping[str, Any]]) -> Table:
    """Return the cells of units; DataError where a row does not fit its unit's streams."""
    table: dict[str, dict[str, dict[str, Cell]]] = {}
    for setting in sorted({unit.setting for unit in units}):
        chosen = {unit: content for unit, content in units.items() if unit.setting == setting}
        names = sorted({name for content in chosen.values() for name in content["rows"]})
        table[setting] = {timing: {} for timing in TIMINGS}
        for timing in TIMINGS:
            for name in names:
                cell = _cell(chosen, timing, name)
                if cell is not None:
                    table[setting][timing][name] = cell
    return table


def _cell(units: Mapping[Unit, Mapping[str, Any]], timing: str, name: str) -> Cell | None:
    runs = {
        unit: _run(unit, content, name, content["rows"][name][timing])
        for unit, content in units.items()
        if timing in content["rows"].get(name, {})
    }
    if not runs:
        return None
    trains = tuple(sorted({unit.train for unit in runs}))
    devices: dict[Device, int] = {}
    for unit in sorted(runs, key=lambda unit: unit.stream):
        for number in range(len(runs[unit][0])):
            devices.setdefault((unit.stream, number), len(devices))
    windows = max(marks.shape[1] for _, marks in runs.values())
    accuracy = np.full((len(trains), len(devices), windows), np.nan)
    first = np.zeros((len(devices), windows), bool)
    for unit, (values, marks) in runs.items():
        at = devices[unit.stream, 0]
        rows = slice(at, at + len(values))
        accuracy[trains.index(unit.train), rows, : values.shape[1]] = values
        first[rows, : marks.shape[1]] = marks
    return Cell(accuracy, first, trains, tuple(devices))


def _run(unit: Unit, content: Mapping[str, Any], name: str, text: str) -> tuple[Floats, Marks]:
    """Return accuracies in % and marks of first windows, both (D, W), NaN and False past a shorter device's end."""
    try:
        size, marks = int(content["plan"]["window_size"]), _marks(content["first"], len(text))
        lengths = [len(one) for one in marks]
        counts = unpack(text, sum(lengths))
    except (DataError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"row {name!r} of results {unit} does not fit its streams ({error}); run it again") from error
    if len(counts) != 1:
        raise DataError(
            f"row {name!r} of results {unit} has {counts.size} windows, its streams {sum(lengths)}; run it again"
        )
    if size < 1 or counts.max() > size:
        raise DataError(f"row {name!r} of results {unit} has {counts.max()} right of {size}; run it again")
    there = np.arange(max(lengths)) < np.array(lengths)[:, None]
    values, first = np.full(there.shape, np.nan), np.zeros(there.shape, bool)
    values[there] = 100 * counts[0] / size
    first[there] = np.concatenate([np.array(one, bool) for one in marks])
    return values, first


def _marks(first: Sequence[Any], digits: int) -> list[list[int]]:
    """Return the marks of each device: one list for all that are alike, or a list for each."""
    if first and isinstance(first[0], list):
        return [list(one) for one in first]
    if not first or digits % len(first):
        raise DataError(f"{digits} windows do not divide over devices of {len(first)}")
    return [list(first)] * (digits // len(first))
