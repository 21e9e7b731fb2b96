"""Training of peers that read a whole window: every window of a batch is predicted under its own context."""

from __future__ import annotations

import numpy as np
from torch import nn
from torch.nn import functional as F

from persona.errors import TrainingError
from persona.tasks.base import EpisodeBatch, Episodes
from persona.training.loop import History, Progress, Schedule, descend, fitting, make_optimizer, report, seeded
from persona.training.step import Loss, to_tensors


def train_windows(
    net: nn.Module,
    episodes: Episodes,
    schedule: Schedule,
    progress: Progress | None = None,
    loss: Loss = F.cross_entropy,
) -> History:
    """Train a net of windows (B, S, …) → logits (B, S, C), in place, on the supports and the queries of each batch.

    The same images and passes a step as `train_base` and `train_adapter` take. TrainingError as there, and
    where support and query are not windows of one size.
    """
    rng = np.random.default_rng(schedule.seed)
    optimizer, rate = make_optimizer(list(net.parameters()), schedule)
    history = History()
    with seeded(schedule.seed), fitting():
        for step in range(schedule.steps):
            batch = episodes.sample(rng)
            _check_sizes(batch)
            net.train()
            pairs = ((batch.support, batch.support_labels), (batch.query, batch.query_labels))
            x, y = to_tensors(*(np.concatenate(parts) for parts in zip(*pairs, strict=True)))  # (2B, S, …), (2B, S)
            value = loss(net(x).flatten(0, 1), y.flatten())
            descend(value, step, optimizer, rate)
            report(history, step, schedule, value, progress)
    net.eval()
    return history


def _check_sizes(batch: EpisodeBatch) -> None:
    if batch.support.shape[1:] != batch.query.shape[1:]:
        raise TrainingError(
            f"windows of support {batch.support.shape[1:]} and query {batch.query.shape[1:]} do not fit in one batch; "
            "give episodes with as many samples in both"
        )
