"""The rows under the paper's protocol: everybody reads the last 30 events, and ranks the last among 99 never met."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from persona.backbones.edited import EditedHead
from persona.bench.recommendation.plan import SPLIT_SEED
from persona.bench.recommendation.rows import CONTROLLED, EDITORS, fitted
from persona.bench.recommendation.workbench import Workbench
from persona.errors import CatalogError
from persona.tasks.recommendation.counters import Markov, Popularity, scored
from persona.tasks.recommendation.counters.base import Counter
from persona.tasks.recommendation.events import EventLog
from persona.tasks.recommendation.metrics import auc
from persona.tasks.recommendation.ranking import blocks, draw_unmet
from persona.training.heads import Answers, all_deltas, mean_edit, shuffled_edit
from persona.training.sampled_candidates import candidate_losses, candidate_scores

COUNTERS: dict[str, Callable[[EventLog], Counter]] = {"popularity": Popularity.fit, "markov": Markov.fit}
PAPER_ROWS = ("popularity", "markov", "base", "constant", "ours", "closed-form", "film", "duet", "apg", "faithful")


def check_paper_row(name: str) -> None:
    """CatalogError for a name that the paper's protocol has no row of."""
    known = [*COUNTERS, "base", *EDITORS]
    if name not in known:
        raise CatalogError(f"the paper's protocol has no row {name!r}; there are {', '.join(known)}")


def run_paper_row(name: str, bench: Workbench) -> dict[str, Answers]:
    """Return a row and its controls by name; CatalogError as of `check_paper_row`."""
    check_paper_row(name)
    if name in COUNTERS:
        return {name: _counted(bench, COUNTERS[name](bench.world.log.ending(bench.world.base.fit_until)))}
    if name == "base":
        head = bench.head()
        return {name: _answered(bench, head, head.query(bench.features.states[bench.world.base.test]))}
    return _edited(name, bench)


def among(scores: Tensor) -> Answers:
    """Return the answers by scores (Q, C) of candidates, the target's in column 0: its rank, the log-loss, one AUC."""
    own, others = scores[:, :1], scores[:, 1:]
    ranks = 1 + (others > own).sum(dim=1).double() + 0.5 * (others == own).sum(dim=1).double()
    labels = np.zeros(scores.shape, np.int64)
    labels[:, 0] = 1
    losses = candidate_losses(scores.double())
    return Answers(ranks.numpy(), losses.numpy(), {"auc": auc(labels.ravel(), scores.numpy().ravel())})


def _edited(name: str, bench: Workbench) -> dict[str, Answers]:
    """Return the answers of an editor "", and of its controls."""
    head, editor = fitted(name, bench)
    asked, states = bench.world.base.test, bench.features.states
    deltas = all_deltas(editor, bench.features, asked)
    changes = {"": deltas}
    if name in CONTROLLED:
        other = shuffled_edit(bench.world.log.users, np.random.default_rng(bench.seed))
        changes |= {"-mean": mean_edit(deltas, asked), "-shuffled": other(deltas, asked)}
    ask = partial(_answered, bench, head)
    return {f"{name}{control}": ask(editor.form.query(states[asked], one)) for control, one in changes.items()}


@torch.no_grad()
def _answered(bench: Workbench, head: EditedHead, query: Tensor) -> Answers:
    return among(candidate_scores(query, head.table(), _candidates(bench)))


def _counted(bench: Workbench, counter: Counter) -> Answers:
    log, asked, candidates = bench.world.log, bench.world.base.test, _candidates(bench)
    score, found = scored(counter, log, bench.plan.reach), np.zeros(candidates.shape)
    for rows in blocks(np.arange(len(asked)), log.n_items):
        found[rows] = np.take_along_axis(score(asked[rows]), candidates[rows], axis=1)
    return among(torch.from_numpy(found))._replace(losses=np.full(len(asked), np.nan))


def _candidates(bench: Workbench) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Return each query's target and the items beside it (Q, 1 + negatives), the same for every row and seed."""
    log, asked = bench.world.log, bench.world.base.test
    drawn = draw_unmet(log, asked, np.random.default_rng(SPLIT_SEED), bench.plan.negatives)
    return np.concatenate([log.items[asked].astype(np.int64)[:, None], drawn], axis=1)
