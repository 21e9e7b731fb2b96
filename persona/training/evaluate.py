"""Scores of a learner on episodes, each control beside it (method §4).

An edit may beat its shuffled self and still bring nothing over one edit for everybody, so every table has both.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import nn

from persona.tasks.base import EpisodeBatch, Episodes
from persona.training.step import Learner, to_tensors


@dataclass(frozen=True)
class Scores:
    """Accuracies in [0, 1] on unseen devices."""

    static: float
    base: float
    mean_edit: float
    shuffled_edit: float
    adapted: float
    adapted_causal: float

    def to_json(self) -> dict[str, float]:
        """Return the figures by name."""
        return dict(self.__dict__)


# Episodes to a forward pass, and the most that a scoring batch may take in memory.
EPISODES_AT_ONCE = 8
BATCH_LIMIT_BYTES = 512 << 20


@torch.no_grad()
def score(learner: Learner, static: nn.Module, batch: EpisodeBatch) -> Scores:
    """Return accuracies on one batch of episodes.

    `adapted` predicts the support window with its own edit, `adapted_causal` the query with the support's; static, base
    and controls predict the query.
    """
    learner.model.eval()
    static.eval()
    support, support_y = to_tensors(batch.support, batch.support_labels)
    query, query_y = to_tensors(batch.query, batch.query_labels)
    seen = [learner.see(part) for part in support.split(EPISODES_AT_ONCE)]
    codes, means = torch.cat([s.codes for s in seen]), torch.cat([s.means for s in seen])
    edit = learner.deltas
    everybody = {name: delta.mean(dim=0) for name, delta in edit(codes, means).items()}
    correct = dict.fromkeys((field.name for field in fields(Scores)), 0)
    for at in torch.arange(len(codes)).split(EPISODES_AT_ONCE):
        own, flat, y = edit(codes[at], means[at]), query[at].flatten(0, 1), query_y[at]
        logits = {
            "static": static(flat),
            "base": learner.model(flat).logits,
            "mean_edit": learner.model(flat, everybody).logits,
            "shuffled_edit": learner.model(flat, edit(codes.roll(1, dims=0)[at], means.roll(1, dims=0)[at])).logits,
            "adapted_causal": learner.model(flat, own).logits,
        }
        for name, values in logits.items():
            correct[name] += int((values.argmax(dim=1) == y.flatten()).sum())
        same = learner.model(support[at].flatten(0, 1), own).logits
        correct["adapted"] += int((same.argmax(dim=1) == support_y[at].flatten()).sum())
    sizes = {name: query_y.numel() for name in correct} | {"adapted": support_y.numel()}
    return Scores(**{name: count / sizes[name] for name, count in correct.items()})


def sample_many(episodes: Episodes, count: int, rng: np.random.Generator) -> EpisodeBatch:
    """Return at least `count` episodes as one batch, fewer where they would take over half a gigabyte."""
    batches = [episodes.sample(rng)]
    size = max(batches[0].support.nbytes + batches[0].query.nbytes, 1)
    while sum(len(batch) for batch in batches) < count and (len(batches) + 1) * size <= BATCH_LIMIT_BYTES:
        batches.append(episodes.sample(rng))
    names = ("support", "support_labels", "query", "query_labels")
    return EpisodeBatch(*(np.concatenate([getattr(batch, name) for batch in batches]) for name in names))
