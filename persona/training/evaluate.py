"""Scores of a learner on episodes, each control beside it (method §4).

An edit may beat its shuffled self and still bring nothing over one edit for everybody, so every table has both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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


@torch.no_grad()
def score(learner: Learner, static: nn.Module, batch: EpisodeBatch) -> Scores:
    """Return accuracies on one large batch of episodes.

    `adapted` predicts the support window with its own edit, `adapted_causal` the query with the support's; static, base
    and controls predict the query.
    """
    learner.model.eval()
    static.eval()
    support, support_y = to_tensors(batch.support, batch.support_labels)
    query, query_y = to_tensors(batch.query, batch.query_labels)
    codes, _ = learner.codes(support)
    deltas = learner.adapter.decoder(codes)
    flat = query.flatten(0, 1)
    runs: dict[str, tuple[Tensor, Tensor]] = {
        "static": (static(flat), query_y),
        "base": (learner.model(flat).logits, query_y),
        "mean_edit": (learner.model(flat, everybody(deltas)).logits, query_y),
        "shuffled_edit": (learner.model(flat, another_device(deltas)).logits, query_y),
        "adapted": (learner.model(support.flatten(0, 1), deltas).logits, support_y),
        "adapted_causal": (learner.model(flat, deltas).logits, query_y),
    }
    return Scores(**{name: _accuracy(logits, labels) for name, (logits, labels) in runs.items()})


def sample_many(episodes: Episodes, count: int, rng: np.random.Generator) -> EpisodeBatch:
    """Return at least `count` episodes as one batch."""
    batches = [episodes.sample(rng)]
    while sum(len(batch) for batch in batches) < count:
        batches.append(episodes.sample(rng))
    names = ("support", "support_labels", "query", "query_labels")
    return EpisodeBatch(*(np.concatenate([getattr(batch, name) for batch in batches]) for name in names))


def everybody(deltas: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the mean edit in the place of each: the control that must not explain the gain."""
    return {name: delta.mean(dim=0, keepdim=True).expand_as(delta) for name, delta in deltas.items()}


def another_device(deltas: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return each device its neighbour's edit."""
    return {name: delta.roll(1, dims=0) for name, delta in deltas.items()}


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    return float((logits.argmax(dim=1) == labels.flatten()).float().mean())
