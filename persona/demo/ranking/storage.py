"""What item vectors lose by being stored smaller: the same queries against float32, float16 and int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from persona.demo.ranking.learn import Learnt
from persona.device.ranking import Catalogue
from persona.files import write_whole
from persona.item_vectors import Stored, pack_items, read_items
from persona.tasks.recommendation.metrics import gains
from persona.tasks.recommendation.ranking import ranks_of, seen_before

KINDS: tuple[Stored, ...] = ("float32", "float16", "int8")
TOP = 10
QUERIES = 2000


def storage_figures(learnt: Learnt, folder: Path, queries: int = QUERIES) -> dict[str, dict[str, float]]:
    """Return by kind: bytes of the file, NDCG@10, and the share of the float32 top 10 that is kept.

    The queries are the first of the test, without an edit; what was seen is left out.
    """
    log = learnt.log
    positions = learnt.ageing.fresh.test[: min(queries, QUERIES)]
    rows = learnt.head.query(learnt.features.states[positions]).detach().numpy()
    vectors, bias = (part.detach().numpy() for part in learnt.head.table(learnt.broadcast))
    left_out = seen_before(log, positions)
    found: dict[str, dict[str, float]] = {}
    best: dict[str, Any] = {}
    for kind in KINDS:
        path = folder / f"{kind}.persona"
        data = pack_items(vectors, bias, kind)
        write_whole(path, data)
        scores = Catalogue(read_items(path)).scores(rows)
        ranks = ranks_of(scores, log.items[positions], left_out)
        scores[left_out] = -np.inf
        best[kind] = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
        kept = (best[kind][:, :, None] == best["float32"][:, None]).any(axis=2).mean()
        found[kind] = {"bytes": len(data), "NDCG@10": float(gains(ranks, TOP).mean()), "overlap": float(kept)}
    return found
