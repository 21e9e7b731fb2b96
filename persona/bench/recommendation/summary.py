"""Stored files → cells: of one plan, every row's figures by query, over the seeds it was run with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from persona.bench.recommendation.store import unpack_floats, unpack_ranks, unpack_whole
from persona.bench.store import read_rows
from persona.errors import DataError
from persona.tasks.recommendation.metrics import gains, hits
from persona.tasks.recommendation.synthetic import NEW, RETURN

Floats = npt.NDArray[np.float64]
Chosen = npt.NDArray[np.bool_]
RETURNING, FRESH = "returning interest, clicks 1–3", "new interest, clicks 1–3"


@dataclass(frozen=True, eq=False)
class Cell:
    """One row: ranks (S, Q) of the queries with each seed, losses (S, Q) or None, figures of them all by name (S,)."""

    ranks: Floats
    losses: Floats | None
    seeds: tuple[int, ...]
    figures: Mapping[str, Floats] = field(default_factory=dict)

    def ndcg(self, k: int = 10) -> Floats:
        """Return NDCG@k of each query with each seed (S, Q)."""
        return gains(self.ranks, k)

    def hit(self, k: int = 10) -> Floats:
        """Return whether each query's target is among the first k (S, Q)."""
        return hits(self.ranks, k)


@dataclass(frozen=True, eq=False)
class Stored:
    """Everything of one plan: rows by name, whom each query (Q,) is about, segments by name, and the circumstances."""

    name: str
    cells: Mapping[str, Cell]
    users: npt.NDArray[np.int64]
    segments: Mapping[str, Chosen]
    about: Mapping[str, Any] = field(default_factory=dict)


def load_results(root: Path) -> dict[str, Stored]:
    """Return what lies under ROOT/<data>/<setting>, empty where nothing does; DataError for damaged files."""
    found = {}
    for folder in sorted({path.parent for path in root.glob("*/*/seed-*.json")}):
        name = f"{folder.parent.name}/{folder.name}"
        paths = sorted(folder.glob("seed-*.json"))
        found[name] = _stored(name, [read_rows(path, ("plan", "queries")) for path in paths])
    return found


def segments_of(queries: Mapping[str, npt.NDArray[np.int64]]) -> dict[str, Chosen]:
    """Return which queries (Q,) belong to which segment: history, the item's frequency in training, new users."""
    history, frequency = queries["history"], queries["frequency"]
    low, high = np.quantile(frequency, (1 / 3, 2 / 3))
    found = {
        "history < 10": history < 10,
        "history 10–49": (history >= 10) & (history < 50),
        "history ≥ 50": history >= 50,
        f"items seen ≤ {low:.0f} times": frequency <= low,
        "items in between": (frequency > low) & (frequency <= high),
        f"items seen > {high:.0f} times": frequency > high,
        "new users": queries["known"] == 0,
        "known users": queries["known"] > 0,
    }
    if "since" in queries:
        soon = (queries["since"] >= 1) & (queries["since"] <= 3)
        found[RETURNING] = soon & (queries["began"] == RETURN)
        found[FRESH] = soon & (queries["began"] == NEW)
    return {name: chosen for name, chosen in found.items() if chosen.any()}


def _stored(name: str, contents: list[dict[str, Any]]) -> Stored:
    first = contents[0]
    for content in contents[1:]:
        if content["queries"] != first["queries"] or content["plan"] != first["plan"]:
            raise DataError(f"seeds of {name} were run with other plans or queries; delete those that are out of date")
    try:
        queries = {key: unpack_whole(text) for key, text in first["queries"].items()}
        asked = len(queries["user"])
        cells = {row: _cell(row, contents, asked) for row in dict.fromkeys(r for c in contents for r in c["rows"])}
        users = queries["user"]
        facts = {key: first[key] for key in ("plan", "world", "machine", "versions")}
        commits = sorted({content["commit"] for content in contents})
        return Stored(name, cells, users, segments_of(queries), {**facts, "commits": commits})
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"results of {name} are damaged ({error!r}); delete the files, and run again") from error


def _cell(row: str, contents: list[dict[str, Any]], asked: int) -> Cell:
    having = [content for content in contents if row in content["rows"]]
    ranks = np.stack([unpack_ranks(content["rows"][row]["ranks"]) for content in having])
    texts = [content["rows"][row]["losses"] for content in having]
    losses = None if None in texts else np.stack([unpack_floats(text) for text in texts])
    lengths = {figures.shape[1] for figures in (ranks, losses) if figures is not None}
    if lengths != {asked}:
        raise ValueError(f"row {row!r} has figures of {', '.join(map(str, sorted(lengths)))} queries, not {asked}")
    told = [content["rows"][row].get("figures", {}) for content in having]
    figures = {name: np.asarray([float(one[name]) for one in told]) for name in told[0]}
    return Cell(ranks, losses, tuple(int(content["seed"]) for content in having), figures)
