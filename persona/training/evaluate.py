"""Scores of a learner on episodes, each control beside it (method §4).

An edit may beat its shuffled self and still bring nothing over one edit for everybody, so every table has both.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor, nn

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
    edits = edits_of(learner, support)
    everybody = {name: delta.mean(dim=0) for name, delta in edits.items()}
    others = {name: delta.roll(1, dims=0) for name, delta in edits.items()}
    correct = dict.fromkeys((field.name for field in fields(Scores)), 0)
    for at in torch.arange(len(support)).split(EPISODES_AT_ONCE):
        own, strange = ({name: delta[at] for name, delta in which.items()} for which in (edits, others))
        flat, y = query[at].flatten(0, 1), query_y[at]
        logits = {
            "static": static(flat),
            "base": learner.model(flat).logits,
            "mean_edit": learner.model(flat, everybody).logits,
            "shuffled_edit": learner.model(flat, strange).logits,
            "adapted_causal": learner.model(flat, own).logits,
        }
        for name, values in logits.items():
            correct[name] += int((values.argmax(dim=1) == y.flatten()).sum())
        same = learner.model(support[at].flatten(0, 1), own).logits
        correct["adapted"] += int((same.argmax(dim=1) == support_y[at].flatten()).sum())
    sizes = {name: query_y.numel() for name in correct} | {"adapted": support_y.numel()}
    return Scores(**{name: count / sizes[name] for name, count in correct.items()})


@torch.no_grad()
def edits_of(learner: Learner, windows: Tensor) -> dict[str, Tensor]:
    """Return the edits of B windows (B, S, …), each with its own statistics settled in: {tensor name: (B, *shape)}."""
    parts = [_edits_of(learner, part) for part in windows.split(EPISODES_AT_ONCE)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _edits_of(learner: Learner, windows: Tensor) -> dict[str, Tensor]:
    learned = learner.learned(learner.see(windows).codes)
    return learner.settle(learner.run(windows.flatten(0, 1), learned).moments, learned, len(windows))


def sample_many(episodes: Episodes, count: int, rng: np.random.Generator) -> EpisodeBatch:
    """Return at least `count` episodes as one batch, fewer where they would take over half a gigabyte."""
    batches = [episodes.sample(rng)]
    size = max(batches[0].support.nbytes + batches[0].query.nbytes, 1)
    while sum(len(batch) for batch in batches) < count and (len(batches) + 1) * size <= BATCH_LIMIT_BYTES:
        batches.append(episodes.sample(rng))
    names = ("support", "support_labels", "query", "query_labels")
    return EpisodeBatch(*(np.concatenate([getattr(batch, name) for batch in batches]) for name in names))
