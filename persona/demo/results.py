"""Records of device processes → the figures of ``results.json``. Accuracies are percentages, differences points."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from persona.demo.device import ROWS
from persona.errors import DataError

Record = Mapping[str, Any]
Floats = npt.NDArray[np.float64]

BOOTSTRAPS = 2000


def read_device(path: Path) -> tuple[list[Record], Record]:
    """Return the records of one device, and its closing one; DataError where it ended early."""
    try:
        records = [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise DataError(f"device records {path} cannot be read ({error}); see the log beside it") from error
    if not records or "torch_imported" not in records[-1]:
        raise DataError(f"device records {path} end after {len(records)} lines; see the log beside it")
    return records[:-1], records[-1]


def stream_figures(shifted: Sequence[Path], clean: Sequence[Path], seed: int = 0) -> dict[str, Any]:
    """Return the figures of shifting and clean devices, by name."""
    devices = [read_device(path) for path in shifted]
    resting = [read_device(path) for path in clean]
    windows = [records for records, _ in devices]
    still = {row: _accuracy([r for records, _ in resting for r in records], row) for row in ROWS}
    return {
        "accuracy": {row: _accuracy([r for records in windows for r in records], row) for row in ROWS},
        "intervals": {
            f"{row}_minus_static": list(paired_interval(_difference(windows, row), np.random.default_rng(seed)))
            for row in ("adapted", "adapted_causal")
        },
        "clean": still,
        "clean_harm": still["static"] - min(still["adapted"], still["adapted_causal"]),
        "first_window": {row: _accuracy([r for d in windows for r in d if r["first"]], row) for row in ROWS},
        "after_shift": {row: _after_shift(windows, row) for row in ROWS},
        "timeline": _timeline(windows),
        "devices": [_device(i, records, end) for i, (records, end) in enumerate(devices)],
        "prototypes": dict(Counter(p for records in windows for r in records for p in _prototype(r))),
        **_costs([record for records, _ in [*devices, *resting] for record in records]),
    }


def paired_interval(
    differences: Floats, rng: np.random.Generator, counts: npt.NDArray[np.intp] | None = None
) -> tuple[float, float]:
    """Return a 95 % interval of the mean of per-device differences, by bootstrap over devices.

    With `counts`, each difference is the sum of as many: what is drawn is a device with all that it has.
    """
    draws = rng.integers(len(differences), size=(BOOTSTRAPS, len(differences)))
    of = np.ones(len(differences), np.intp) if counts is None else counts
    low, high = np.quantile(differences[draws].sum(axis=1) / of[draws].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def _accuracy(records: Sequence[Record], row: str) -> float:
    total = sum(record["n"] for record in records)
    return float(100 * sum(record["correct"][row] for record in records) / max(total, 1))


def _difference(windows: Sequence[Sequence[Record]], row: str) -> Floats:
    return np.array([_accuracy(records, row) - _accuracy(records, "static") for records in windows])


def _after_shift(windows: Sequence[Sequence[Record]], row: str) -> list[float]:
    """Accuracy by the number of windows since the segment began."""
    since: dict[int, list[Record]] = {}
    for records in windows:
        age = 0
        for record in records:
            age = 0 if record["first"] else age + 1
            since.setdefault(age, []).append(record)
    return [_accuracy(since[age], row) for age in sorted(since)]


def _timeline(windows: Sequence[Sequence[Record]]) -> dict[str, Any]:
    length = min(len(records) for records in windows)
    columns = [[records[t] for records in windows] for t in range(length)]
    shifts = [t for t in range(length) if t and windows[0][t]["first"]]
    return {"window": list(range(length)), "shifts": shifts} | {
        row: [_accuracy(column, row) for column in columns] for row in ROWS
    }


def _device(index: int, records: Sequence[Record], end: Record) -> dict[str, Any]:
    last = records[-1]["causal"]
    return {
        "device": index,
        "domains": end["domains"],
        "accuracy": {row: _accuracy(records, row) for row in ROWS},
        **{key: last[key] for key in ("jumps", "asks", "refused")},
        "prototypes": dict(Counter(p for record in records for p in _prototype(record))),
        "rss_mb": end["rss_mb"],
        "torch_imported": end["torch_imported"],
    }


def _prototype(record: Record) -> list[str]:
    """The prototype in force after a window, if any."""
    return re.findall(r"prototype (\d+)", record["causal"]["in_force"])


def _costs(records: Sequence[Record]) -> dict[str, Any]:
    """Bytes an adaptation, microseconds to apply one, milliseconds to an answer."""
    facts = [record[way] for record in records for way in ("same", "causal")]
    answered = [f for f in facts if f["latency_ms"] is not None]
    lasts = [f for f in facts if f["replies"]]
    parts = [f["apply_us"] for f in answered if f["apply_us"]]
    # The trial is one more run of the graph, which any app can spend or spare; what an edit itself takes is the rest.
    whole = np.array([sum(part.values()) - part["trial_us"] for part in parts] or [0.0])
    latency = np.array([f["latency_ms"] for f in answered] or [0.0])
    return {
        "bytes_up": float(np.mean([f["bytes_up"] / f["asks"] for f in lasts] or [0.0])),
        "bytes_down": float(np.mean([f["bytes_down"] / f["replies"] for f in lasts] or [0.0])),
        "apply_us": {
            "p50": float(np.median(whole)),
            "p99": float(np.quantile(whole, 0.99)),
            "parts": {
                name.removesuffix("_us"): float(np.median([part[name] for part in parts]))
                for name in (parts or [{}])[0]
            },
        },
        "latency_ms": {"p50": float(np.median(latency)), "p99": float(np.quantile(latency, 0.99))},
    }
