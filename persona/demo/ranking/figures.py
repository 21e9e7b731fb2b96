"""Records of device processes → figures: HR@10 and NDCG@10 by row, differences with intervals over users, bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from persona.demo.ranking.device import ROWS
from persona.demo.results import Record, paired_interval, read_device
from persona.errors import DataError
from persona.tasks.recommendation.metrics import gains, hits

Floats = npt.NDArray[np.float64]
AT = 10
MEASURES = {f"HR@{AT}": hits, f"NDCG@{AT}": gains}
DIFFERENCES = (("broadcast", "base"), ("personal", "base"), ("personal", "broadcast"))


def ranking_figures(paths: Sequence[Path], rng: np.random.Generator) -> dict[str, Any]:
    """Return the figures of all devices, by name."""
    devices = [read_device(path) for path in paths]
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
    sums, counts = np.asarray(np.bincount(users, differences), np.float64), np.bincount(users)
    return [float(differences.mean()), *paired_interval(sums, rng, counts)]


def _reasons(reasons: Sequence[str]) -> dict[str, int]:
    """Return how often each kind of reason was the last: numbers in them differ, words do not."""
    kinds = ["".join("#" if letter.isdigit() else letter for letter in reason) for reason in reasons]
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
