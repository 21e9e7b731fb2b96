"""Episodes that do not fit are a TrainingError that says so, and an own loss is the one that is used."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from persona.errors import TrainingError
from persona.tasks.base import EpisodeBatch
from persona.training import AdapterConfig, Schedule, train_adapter, train_base
from tests.training.known import Angles

SHORT = Schedule(steps=2)


@dataclass(frozen=True)
class Misfit:
    """The world's episodes, wrong in one way."""

    how: str
    world: Angles = field(default_factory=Angles)

    def sample(self, rng: np.random.Generator) -> EpisodeBatch:
        batch = self.world.sample(rng)
        if self.how == "label beyond the classes":
            return EpisodeBatch(batch.support, batch.support_labels + 2, batch.query, batch.query_labels + 2)
        if self.how == "labels of floats":
            return EpisodeBatch(batch.support, batch.support_labels + 0.5, batch.query, batch.query_labels + 0.5)
        return EpisodeBatch(batch.support[..., :3], batch.support_labels, batch.query[..., :3], batch.query_labels)


@pytest.mark.parametrize("how", ["label beyond the classes", "labels of floats", "samples too narrow"])
def test_misfits_are_told_by_both_loops(how: str) -> None:
    world = Angles()
    with pytest.raises(TrainingError, match="do not fit"):
        train_base(world.net(), Misfit(how), SHORT)
    model = world.model()
    with pytest.raises(TrainingError, match="do not fit"):
        train_adapter(model, world.adapter(model), Misfit(how), AdapterConfig(SHORT))


def test_an_own_loss_is_used_by_both_loops() -> None:
    calls: list[int] = []

    def own(logits: Tensor, labels: Tensor) -> Tensor:
        calls.append(len(labels))
        return F.cross_entropy(logits, labels, label_smoothing=0.1)

    world = Angles()
    train_base(world.net(), world, SHORT, loss=own)
    assert len(calls) == 2
    model = world.model()
    learner, _ = train_adapter(model, world.adapter(model), world, AdapterConfig(SHORT), loss=own)
    assert len(calls) == 2 + 2 * 2, "the edited query and the unedited support, each step"
    assert learner.loss is own


def test_training_leaves_torchs_own_dice_alone() -> None:
    world = Angles()
    net, model = world.net(), world.model()
    adapter = world.adapter(model)
    before = torch.random.get_rng_state()
    train_base(net, world, SHORT)
    train_adapter(model, adapter, world, AdapterConfig(SHORT))
    assert torch.equal(before, torch.random.get_rng_state())
