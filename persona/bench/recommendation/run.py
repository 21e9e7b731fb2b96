"""The run: seed by seed and row by row, what is stored is not done again; nets that are kept are not trained again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from persona.bench.recommendation.paper import PAPER_ROWS, check_paper_row, run_paper_row
from persona.bench.recommendation.plan import Plan
from persona.bench.recommendation.rows import check_row, rows_for, run_row
from persona.bench.recommendation.store import pack_floats, pack_ranks, pack_whole, seed_path
from persona.bench.recommendation.workbench import Workbench
from persona.bench.recommendation.worlds import World, open_world
from persona.bench.store import circumstances, read_rows, write_rows
from persona.training.heads import Answers

Told = Callable[[str, float, float], None]


@dataclass(frozen=True)
class Job:
    """A plan, its rows (None: those of its setting), and where things are."""

    plan: Plan
    data: Path | None
    results: Path
    nets: Path
    rows: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """CatalogError for an unknown row, before anything is read or trained."""
        for name in self.rows or ():
            (check_paper_row if self.plan.paper else check_row)(name)

    @property
    def folder(self) -> Path:
        """Where this plan's results are kept."""
        return self.results / self.plan.name

    @property
    def wanted(self) -> Sequence[str]:
        """The rows by name."""
        if self.rows is not None:
            return self.rows
        return PAPER_ROWS if self.plan.paper else rows_for(self.plan.data, self.plan.setting)


def run(job: Job, told: Told) -> None:
    """Do what is missing of a job; errors as of readers, splits, training and stored files."""
    world = open_world(job.plan, job.data)
    row_of = run_paper_row if job.plan.paper else run_row
    for number, seed in enumerate(job.plan.seeds):
        path = seed_path(job.folder, seed)
        bench = Workbench(job.plan, world, seed, job.nets / job.plan.name / f"seed-{seed}")
        done = read_rows(path).get("rows", {})
        missing = [row for row in job.wanted if row not in done]
        for at, name in enumerate(missing, len(job.wanted) - len(missing)):
            told(f"seed {seed}: {name}", number * len(job.wanted) + at, len(job.wanted) * len(job.plan.seeds))
            found = {row: packed(values) for row, values in row_of(name, bench).items()}
            write_rows(path, about(job.plan, world, seed), found, ("plan", "queries"))
    told("done", 1, 1)


def packed(values: Answers) -> dict[str, Any]:
    """Return a row as it is stored."""
    lost = np.isnan(values.losses).all()
    found = {"ranks": pack_ranks(values.ranks), "losses": None if lost else pack_floats(values.losses)}
    return {**found, "figures": dict(values.figures)} if values.figures else found


def about(plan: Plan, world: World, seed: int) -> dict[str, Any]:
    """Return what is stored beside the rows: the plan, whom and what each query is about, the circumstances."""
    log, asked = world.log, world.base.test
    trained = np.bincount(log.items[world.base.train], minlength=log.n_items + 1)
    return {
        "plan": plan.to_json(), "seed": seed,
        "world": {"events": len(log), "users": log.n_users, "items": log.n_items, "asked": len(asked)},
        "queries": {
            "user": pack_whole(log.users[asked]),
            "history": pack_whole(asked - log.offsets[log.users[asked]]),
            "frequency": pack_whole(trained[log.items[asked]]),
            "known": pack_whole(_learnt_events(world)[log.users[asked]]),
            **_switches(world),
        },
        **circumstances(),
    }  # fmt: skip


def _switches(world: World) -> dict[str, str]:
    """Of a world whose truth is known: how each query's interest began, and how many events ago."""
    if world.truth is None:
        return {}
    since = world.truth.since[world.base.test]
    return {"since": pack_whole(since), "began": pack_whole(world.truth.kinds[world.base.test - since])}


def _learnt_events(world: World) -> np.ndarray[Any, np.dtype[np.int64]]:
    """How many events of each user (U,) the base learnt from: 0 for a user who is new to it."""
    return world.base.fit_until - world.log.offsets[:-1]
