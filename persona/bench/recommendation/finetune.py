"""Per-user fine-tuning of the head, with labels and gradients: the costly reference that an edit does without.

Before each stretch of `SPAN` events a user's own shift of the state is trained on the history, step by step from rest.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from persona.backbones.edited import EditedHead
from persona.bench.recommendation.workbench import Workbench
from persona.tasks.recommendation.events import Positions
from persona.tasks.recommendation.metrics import gains
from persona.training.chunks import SPAN
from persona.training.event_features import EventFeatures
from persona.training.heads import Answers, score_queries

REACH, STEPS, TOGETHER = 200, 3, 8
RATES = (0.3, 1.0, 3.0)  # tried on validation queries
TRIED = 500
DECAY = 0.03
_CELLS = 1 << 22


def fine_tuned(bench: Workbench) -> Answers:
    """Return the answers to the test queries, with the rate that did best on validation queries."""
    head, features, split = bench.head(), bench.features, bench.world.base
    some = bench.world.choosing[:: max(1, len(bench.world.choosing) // TRIED)]
    found = {rate: gains(_asked(head, features, some, rate).ranks, 10).mean() for rate in RATES}
    return _asked(head, features, split.test, max(RATES, key=lambda rate: found[rate]))


@torch.no_grad()
def _asked(head: EditedHead, features: EventFeatures, positions: Positions, rate: float) -> Answers:
    log = features.log
    first = log.offsets[log.users[positions]]
    starts = first + (positions - first) // SPAN * SPAN
    stretches, which = np.unique(starts, return_inverse=True)
    shifts = torch.zeros(len(stretches), head.d)
    for at in range(0, len(stretches), TOGETHER):
        part = stretches[at : at + TOGETHER]
        shifts[at : at + TOGETHER] = _trained(head, features, part, rate)
    query = head.query(features.states[positions] + shifts[torch.from_numpy(which)])
    return score_queries(query, head.table(), features, positions)


def _trained(head: EditedHead, features: EventFeatures, starts: Positions, rate: float) -> Tensor:
    """Return a shift (B, d) for each user's history before a start (B,)."""
    log = features.log
    owners = log.users[np.minimum(starts, len(log) - 1)]
    keys = starts[:, None] - np.arange(REACH, 0, -1)
    real = keys > log.offsets[owners][:, None]  # an event without another before it has no state
    rows, events = np.nonzero(real)[0], keys[real]
    shift = torch.zeros(len(starts), head.d)
    if not len(events):
        return shift
    items, bias = head.backbone.table()
    own, row = items[torch.from_numpy(log.items[events].astype(np.int64))], torch.from_numpy(rows)
    count = torch.bincount(row, minlength=len(starts)).clamp(min=1)[:, None]
    for _ in range(STEPS):
        gradient = torch.zeros_like(shift)
        for at in range(0, len(events), size := max(1, _CELLS // len(items))):
            part = slice(at, at + size)
            scores = (features.states[events[part]] + shift[row[part]]) @ items.T + bias
            scores[:, 0] = -torch.inf
            features.seen.before(events[part]).fill_(scores)
            gradient.index_add_(0, row[part], own[part] - scores.softmax(dim=1) @ items)
        shift = shift + rate * (gradient / count - DECAY * shift)
    return shift
