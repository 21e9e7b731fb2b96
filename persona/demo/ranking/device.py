"""A device process, without torch: its users' events in the order of time, each predicted before it is met.

Every query is ranked three ways, so that all rows see the same: `base` (the table as it was trained, no edit),
`broadcast` (the table for everybody, no edit) and `personal` (that table and the edit in force).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from persona.bundle import Bundle
from persona.demo.device import peak_memory_mb, write_lines
from persona.demo.ranking.plan import RankingPlan, UserPlan
from persona.demo.starting import bundle_for, trust_for
from persona.device import Catalogue, HttpCloud, RankingRuntime, Recommender, fetch_items
from persona.device.ranking import Items
from persona.device.recommender import InForce
from persona.item_vectors import read_items
from persona.tasks.recommendation.ranking import ranks_of

ROWS = ("base", "broadcast", "personal")
LIST, AROUND = 10, 5  # items on a list, and items shown that were met before and after it


def stream_ranking(plan: RankingPlan) -> None:
    """Fetch bundle and items, stream, and write records; an error of the family where a file or the service fails."""
    trust = trust_for(Path(plan.root), None)
    bundle = bundle_for(plan.service, None, trust)
    fetch_items(plan.service, bundle, Path(plan.items))
    catalogue, stale = Catalogue(read_items(Path(plan.items))), Catalogue(read_items(Path(plan.stale)))
    with HttpCloud(plan.service, timeout_s=30.0, trust=trust) as cloud:
        write_lines(_records(plan, bundle, (catalogue, stale), cloud), Path(plan.out))


def _records(
    plan: RankingPlan, bundle: Bundle, catalogues: tuple[Catalogue, Catalogue], cloud: HttpCloud
) -> Iterator[dict[str, Any]]:
    for user in plan.users:
        recommender = Recommender(bundle, catalogues[0])
        runtime = RankingRuntime(recommender, cloud)
        yield from _stream(user, recommender, runtime, catalogues[1], plan.every)
        runtime.close()
    yield {"rss_mb": peak_memory_mb(), "torch_imported": "torch" in sys.modules}


def _stream(
    user: UserPlan, recommender: Recommender, runtime: RankingRuntime, stale: Catalogue, every: int
) -> Iterator[dict[str, Any]]:
    """Yield a record a query, and one of the user at the end."""
    history, asked = np.asarray(user.items, np.int64), -every
    for place, (item, time_s) in enumerate(zip(user.items, user.times, strict=True)):
        if place >= user.start:
            if place >= recommender.bundle.support[0] and place - asked >= every:
                runtime.adapt(time_s)
                asked = place
            rows = _rows(recommender, stale)
            yield {"user": user.user, "events": place, **_ranks(recommender, rows, history[:place], item)}
        if place in user.shown:
            lists = _lists(recommender, _rows(recommender, stale), history[:place])
            around = {"met": history[:place][-AROUND:].tolist(), "next": history[place : place + AROUND].tolist()}
            yield {"user": user.user, "at": place, **around, "lists": lists}
        runtime.met(item, time_s)
    status = runtime.status()
    names = ("in_force", "asks", "replies", "refused", "reason", "bytes_up", "bytes_down")
    yield {"user": user.user, "end": {name: getattr(status, name) for name in names}}


def _rows(recommender: Recommender, stale: Catalogue) -> dict[str, InForce]:
    base = recommender.base
    return {"base": replace(base, catalogue=stale), "broadcast": base, "personal": recommender.in_force}


def _ranks(recommender: Recommender, rows: dict[str, InForce], history: Items, item: int) -> dict[str, Any]:
    """Return the rank of an item by every row, those met before left out."""
    met = np.unique(history)
    ranks = {}
    for name, row in rows.items():
        scores = row.catalogue.scores(recommender.queries([history], row))
        left_out = (np.zeros(len(met), np.int64), met)
        ranks[name] = float(ranks_of(scores, np.asarray([item], np.int32), left_out)[0])
    return {"ranks": ranks, "in_force": rows["personal"].name}


def _lists(recommender: Recommender, rows: dict[str, InForce], history: Items) -> dict[str, list[int]]:
    """Return the best items by every row, those met before left out."""
    queries = {name: recommender.queries([history], row) for name, row in rows.items()}
    return {name: row.catalogue.top_k(queries[name], LIST, [history])[0][0].tolist() for name, row in rows.items()}


if __name__ == "__main__":  # as the demo starts it
    stream_ranking(RankingPlan.read(Path(sys.argv[1])))
