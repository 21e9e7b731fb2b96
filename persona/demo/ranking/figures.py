"""Records of device processes → figures: HR@10 and NDCG@10 by row, differences with intervals over users, bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from persona.demo.ranking.device import ROWS
from persona.demo.results import BOOTSTRAPS
from persona.errors import DataError
from persona.tasks.recommendation.metrics import gains, hits

Record = Mapping[str, Any]
Floats = npt.NDArray[np.float64]
AT = 10
MEASURES = {f"HR@{AT}": hits, f"NDCG@{AT}": gains}
DIFFERENCES = (("broadcast", "base"), ("personal", "base"), ("personal", "broadcast"))


def read_records(path: Path) -> tuple[list[Record], Record]:
    """Return the records of one device and its closing one; DataError where it ended early."""
    try:
        records = [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise DataError(f"device records {path} cannot be read ({error}); see the log beside it") from error
    if not records or "torch_imported" not in records[-1]:
        raise DataError(f"device records {path} end after {len(records)} lines; see the log beside it")
    return records[:-1], records[-1]


def ranking_figures(paths: Sequence[Path], rng: np.random.Generator) -> dict[str, Any]:
    """Return the figures of all devices, by name."""
    devices = [read_records(path) for path in paths]
    records = [record for lines, _ in devices for record in lines]
    queries = [record for record in records if "ranks" in record]
    ends = [record["end"] for record in records if "end" in record]
    if not queries:
        raise DataError("no device ranked a query; wanted test queries of at least one user")
    answered = [record for record in queries if record["in_force"] != "base"]
    asks, replies = (sum(end[name] for end in ends) for name in ("asks", "replies"))
    return {
        "all": part_figures(queries, rng),
        "answered": part_figures(answered, rng) if answered else None,
        "users": len(ends),
        "requests": asks,
        "refused": sum(end["refused"] for end in ends),
        "reasons": _reasons([end["reason"] for end in ends if end["reason"]]),
        "bytes_up": sum(end["bytes_up"] for end in ends) / max(asks, 1),
        "bytes_down": sum(end["bytes_down"] for end in ends) / max(replies, 1),
        "shown": [record for record in records if "lists" in record],
        "devices": [dict(closing) for _, closing in devices],
    }


def part_figures(queries: Sequence[Record], rng: np.random.Generator) -> dict[str, Any]:
    """Return each row's measures over some queries, and the differences of rows with 95 % intervals over users."""
    users = np.unique([record["user"] for record in queries], return_inverse=True)[1]
    ranks = {row: np.asarray([record["ranks"][row] for record in queries]) for row in ROWS}
    values = {name: {row: measure(ranks[row], AT) for row in ROWS} for name, measure in MEASURES.items()}
    return {
        "queries": len(queries),
        "users": int(users.max()) + 1,
        "rows": {row: {name: float(of[row].mean()) for name, of in values.items()} for row in ROWS},
        "differences": {
            f"{row} - {other}": {name: by_user(of[row] - of[other], users, rng) for name, of in values.items()}
            for row, other in DIFFERENCES
        },
    }


def by_user(differences: Floats, users: npt.NDArray[np.intp], rng: np.random.Generator) -> list[float]:
    """Return the mean of differences (Q,) and its 95 % interval, by bootstrap over users with all their queries."""
    sums, counts = np.bincount(users, differences), np.bincount(users)
    draws = rng.integers(len(counts), size=(BOOTSTRAPS, len(counts)))
    low, high = np.quantile(sums[draws].sum(axis=1) / counts[draws].sum(axis=1), [0.025, 0.975])
    return [float(differences.mean()), float(low), float(high)]


def _reasons(reasons: Sequence[str]) -> dict[str, int]:
    """Return how often each kind of reason was the last: numbers in them differ, words do not."""
    kinds = ["".join("#" if letter.isdigit() else letter for letter in reason) for reason in reasons]
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
