"""A plan → a log and its queries: who is learnt from, who is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from persona.bench.recommendation.plan import PAPER_LEAST, SPLIT_SEED, SYNTHETIC, Plan
from persona.errors import DataError
from persona.tasks.recommendation.events import EventLog, Positions
from persona.tasks.recommendation.readers import open_log
from persona.tasks.recommendation.splits import Ageing, Split, by_user, first_half, leave_one_out
from persona.tasks.recommendation.synthetic import DriftWorld, WorldShape, make_world


@dataclass(frozen=True, eq=False)
class World:
    """A log and two splits of one set of queries: what the base learnt from, and what a fresh one would.

    `choosing` are validation queries that no base chose its epoch by: on those of the splits a base stands higher than
    elsewhere, and an edit held against it there would seem worse than it is. `truth` is behind a synthetic log, and
    None behind any other.
    """

    log: EventLog
    base: Split
    fresh: Split
    choosing: Positions
    truth: DriftWorld | None = None

    @property
    def recent(self) -> Positions:
        """Events that came after the base was trained and before anything is asked, in the order of time."""
        found = np.setdiff1d(self.fresh.train, self.base.train)
        times = self.log.needs_times("a base that ages")
        return found[np.argsort(times[found], kind="stable")]


def open_world(plan: Plan, folder: Path | None) -> World:
    """Return a plan's world; errors as of readers and splits. `SYNTHETIC` is made, and needs no folder."""
    if plan.data == SYNTHETIC:
        shape = WorldShape(users=plan.most_users or 600, drift_at=None)
        truth = make_world(shape, SPLIT_SEED)
        return replace(cut(truth.log, plan), truth=truth)
    if folder is None:
        raise DataError(f"data set {plan.data!r} needs the folder with its files; give --folder")
    log = open_log(plan.data, folder)
    if plan.most_users and plan.most_users < log.n_users:
        log = log.take(log.users < plan.most_users).renumbered()
    return cut(log, plan)


def cut(log: EventLog, plan: Plan) -> World:
    """Return the world of a log under a plan's setting; the queries are drawn once, the same for every seed."""
    if plan.setting == "users":
        split = by_user(log, 0.1, 0.2, np.random.default_rng(SPLIT_SEED), support=5)
        found = Ageing(split, split)
    elif plan.setting == "stale":
        found = first_half(log)
    else:
        split = leave_one_out(log)
        split = _with_history(split, log) if plan.paper else split
        found = Ageing(split, split)
    rng = np.random.default_rng(SPLIT_SEED)
    whole = found.stale.validation
    asked = {"validation": _some(whole, min(plan.validated, -(-len(whole) // 2)), rng),
             "test": _some(found.stale.test, plan.asked, rng)}  # fmt: skip
    others = np.setdiff1d(whole, asked["validation"])
    choosing = _some(others, plan.chosen, rng) if len(others) else whole
    return World(log, replace(found.stale, **asked), replace(found.fresh, **asked), choosing)


def _with_history(split: Split, log: EventLog) -> Split:
    """Return the queries of the paper's protocol: those with enough events before them; DataError where none are."""
    parts = {}
    for name in ("train", "validation", "test"):
        positions: Positions = getattr(split, name)
        parts[name] = positions[positions - log.offsets[log.users[positions]] >= PAPER_LEAST]
        if not len(parts[name]):
            raise DataError(f"no {name} query has {PAPER_LEAST} events before it, as the paper's protocol wants")
    return replace(split, **parts)


def _some(positions: Positions, most: int, rng: np.random.Generator) -> Positions:
    return positions if len(positions) <= most else np.sort(rng.choice(positions, most, replace=False))
