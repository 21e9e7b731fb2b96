"""Which users stream on which device process, and where their interests shift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from persona.demo.ranking.learn import Learnt
from persona.demo.ranking.plan import UserPlan


@dataclass(frozen=True)
class Crowd:
    """How many device processes; users on them, queries of each at most; events between requests; users shown.

    `span` events on either side of a moment say, by their mean item vectors, how far interests moved there.
    """

    devices: int = 4
    users: int = 160
    queries: int = 40
    every: int = 20
    shown: int = 4
    span: int = 10


def user_plans(learnt: Learnt, crowd: Crowd) -> list[UserPlan]:
    """Return the plans of the users with the most test queries, each with as many as the crowd has at most.

    Those whose interests move farthest have their lists written down at the shift and `span` events later.
    """
    log, test = learnt.log, learnt.ageing.fresh.test
    counts = np.bincount(log.users[test], minlength=log.n_users)
    chosen = np.argsort(-counts, kind="stable")[: crowd.users]
    vectors = learnt.head.backbone.table()[0].detach().numpy()
    plans, shifts = [], []
    for user in chosen[counts[chosen] > 0]:
        first = int(test[log.users[test] == user][0])
        begin, end = int(log.offsets[user]), int(min(log.offsets[user + 1], first + crowd.queries))
        times = log.needs_times("a demo of a base that ages")[begin:end]
        items, start = log.items[begin:end], first - begin
        at, moved = shift_of(vectors[items], start, crowd.span)
        shifts.append(moved)
        plans.append(UserPlan(log.user_names[user], items.tolist(), times.tolist(), start, [at, at + crowd.span]))
    kept = set(np.argsort(-np.asarray(shifts), kind="stable")[: crowd.shown].tolist())
    return [
        plan if place in kept and shifts[place] > 0 else replace(plan, shown=[]) for place, plan in enumerate(plans)
    ]


def shift_of(vectors: npt.NDArray[np.float32], start: int, span: int) -> tuple[int, float]:
    """Return where, from `start` on, the mean of the next vectors differs most from that of the last, and by how much.

    Vectors (N, d) of events in order; `span` of them on either side; the measure is 1 - cosine, 0 where there is no
    such place.
    """
    best, at = 0.0, start
    for place in range(max(start, span), len(vectors) - span):
        before, after = vectors[place - span : place].mean(axis=0), vectors[place : place + span].mean(axis=0)
        lengths = float(np.linalg.norm(before) * np.linalg.norm(after))
        moved = 1 - float(before @ after) / lengths if lengths > 0 else 0.0
        if moved > best:
            best, at = moved, place
    return at, best


def spread(plans: Sequence[UserPlan], devices: int) -> list[list[UserPlan]]:
    """Return the plans dealt out to devices, one each in turn."""
    return [list(plans[number::devices]) for number in range(devices)]
