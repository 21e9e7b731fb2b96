"""Statistics of a period, and the training of the map that makes a broadcast of them, by simulated staleness.

The base is old; the period since then is cut early, statistics are taken before the cut, and what users did next is
predicted. What the map learns so on early cuts it applies on a later one, and the base is never trained again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from persona.adapters.heads.broadcast import BroadcastMap, PeriodStatistics
from persona.backbones.edited import Broadcast, EditedHead
from persona.errors import DataError, TrainingError
from persona.tasks.recommendation.events import Positions
from persona.tasks.recommendation.metrics import gains
from persona.training.choosing import weights_of
from persona.training.event_features import EventFeatures
from persona.training.heads import answers
from persona.training.loop import descend, seeded
from persona.training.masked_softmax import masked_cross_entropy

SCORES_AT_ONCE = 1 << 21
EARLY_CUTS = (0.25, 0.5, 0.75)  # of the period: statistics before, queries behind


@dataclass(frozen=True)
class BroadcastConfig:
    """AdamW over `steps` of `batch` queries; every `validate_every` of them the best on validation queries is kept."""

    steps: int = 300
    batch: int = 1024
    learning_rate: float = 0.02
    weight_decay: float = 0.01
    validate_every: int = 50
    validated: int = 6000
    seed: int = 0


@torch.no_grad()
def period_statistics(
    head: EditedHead, features: EventFeatures, period: Positions, trained: Positions
) -> PeriodStatistics:
    """Return statistics of the events of a period (M,), by a base that was trained on others (T,).

    DataError where the period is empty.
    """
    if not len(period):
        raise DataError("a period without events has no statistics; cut it elsewhere")
    log, items = features.log, head.n_items + 1
    happened = torch.from_numpy(np.bincount(log.items[period], minlength=items)).float()
    counts = torch.from_numpy(np.bincount(log.items[trained], minlength=items)).float()
    mean = features.states[period].mean(dim=0)
    expected, after, before = torch.zeros(items), torch.zeros(items, head.d), torch.zeros(items, head.d)
    rows = max(1, SCORES_AT_ONCE // items)
    for at in range(0, len(period), rows):
        block = period[at : at + rows]
        scores = head.backbone.scores(features.states[block])
        features.seen.before(block).fill_(scores)
        shares, states = scores.softmax(dim=1), features.states[block] - mean
        expected += shares.sum(dim=0)
        after += shares.T @ states
        before.index_add_(0, torch.from_numpy(log.items[block].astype(np.int64)), states)
    return PeriodStatistics(happened, expected, before, after, counts)


def train_broadcast(
    head: EditedHead,
    change: BroadcastMap,
    features: EventFeatures,
    periods: tuple[Positions, Positions],
    validation: Positions,
    config: BroadcastConfig = BroadcastConfig(),
) -> Broadcast:
    """Train a map on early cuts of a period, and return what it makes of the whole.

    `periods` are the positions that the base was trained on, and those of the recent period, in the order of time. The
    map keeps the weights with the best NDCG@10 on validation queries, the untrained ones included. TrainingError where
    the period is too short to be cut, or there is no query to choose by.
    """
    trained, recent = periods
    if len(recent) < 2 * (len(EARLY_CUTS) + 1):
        raise TrainingError(f"a recent period of {len(recent)} events cannot be cut; give a longer one")
    if not len(validation):
        raise TrainingError("there are no validation queries to choose a map by; give some")
    lessons = _lessons(head, features, trained, recent)
    whole = period_statistics(head, features, recent, trained)
    optimizer = torch.optim.AdamW(change.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps, 0.1 * config.learning_rate)
    rng = np.random.default_rng(config.seed)
    few = min(config.validated, len(validation))
    asked = np.sort(rng.choice(validation, few, replace=False))
    kept, best = weights_of(change), -1.0
    with seeded(config.seed):
        for step in range(config.steps + 1):
            if step % config.validate_every == 0 or step == config.steps:
                with torch.no_grad():
                    found = float(gains(answers(head, None, features, asked, change(whole)).ranks, 10).mean())
                if found > best:
                    kept, best = weights_of(change), found
            if step < config.steps:
                statistics, queries = lessons[int(rng.integers(len(lessons)))]
                chosen = rng.choice(queries, min(config.batch, len(queries)), replace=False)
                descend(_loss(head, change(statistics), features, chosen), step, optimizer, rate)
    change.load_state_dict(kept)
    with torch.no_grad():
        made: Broadcast = change(whole)
    return made


def in_time(features: EventFeatures, positions: Positions) -> Positions:
    """Return positions in the order of time. DataError where the log has no times."""
    times = features.log.needs_times("a base that ages")
    return positions[np.argsort(times[positions], kind="stable")]


def early_part(recent: Positions, share: float) -> tuple[Positions, Positions]:
    """Return the first share of a period, and the rest: what a broadcast is made of, and what comes behind it."""
    cut = round(len(recent) * share)
    return recent[:cut], recent[cut:]


def _lessons(
    head: EditedHead, features: EventFeatures, trained: Positions, recent: Positions
) -> Sequence[tuple[PeriodStatistics, Positions]]:
    lessons = []
    for share in EARLY_CUTS:
        early, later = early_part(recent, share)
        asked = later[: max(1, len(recent) // 4)]
        lessons.append((period_statistics(head, features, early, trained), asked))
    return lessons


def _loss(head: EditedHead, change: Broadcast, features: EventFeatures, chosen: Positions) -> torch.Tensor:
    vectors, bias = change.on(*head.backbone.table())
    targets = torch.from_numpy(features.log.items[chosen].astype(np.int64))
    seen = features.seen.before(chosen)
    return masked_cross_entropy(features.states[chosen], vectors, bias, targets, seen)
