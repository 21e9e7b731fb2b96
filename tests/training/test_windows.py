"""Training on whole windows: which windows a step sees, its loss by hand, and a world that only context answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from persona.errors import TrainingError
from persona.training.loop import Schedule
from persona.training.step import to_tensors
from persona.training.windows import train_windows
from tests.training.known import Angles, Broken

WORLD = Angles(tasks=3, support=6, query=6)


class Noting(nn.Module):
    """A linear map of each sample; notes what it was given."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.map = nn.Linear(4, 2)
        self.given: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        assert self.training
        self.given.append(x)
        logits: Tensor = self.map(x)
        return logits


def test_supports_and_queries_are_windows_side_by_side() -> None:
    net, told = Noting(), list[tuple[int, int]]()
    schedule = Schedule(steps=2, seed=7)
    first = F.cross_entropy  # the loss of the first step is that of the weights as given
    batch = WORLD.sample(np.random.default_rng(7))
    x, y = to_tensors(
        np.concatenate([batch.support, batch.query]), np.concatenate([batch.support_labels, batch.query_labels])
    )
    wanted = first(net.map(x).flatten(0, 1), y.flatten()).item()
    history = train_windows(net, WORLD, schedule, lambda step, steps, loss: told.append((step, steps)))
    assert torch.equal(net.given[0], x)
    assert history.losses[0] == pytest.approx(wanted)
    assert (len(history.losses), told) == (2, [(1, 2), (2, 2)])
    assert not net.training


class Mean(nn.Module):
    """A window's mean decides on the direction in which its samples are told apart: (B, S, 4) → (B, S, 2)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.turn = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        score = (x * self.turn(x.mean(dim=1, keepdim=True))).sum(dim=2)
        return torch.stack([-score, score], dim=2)


def test_a_net_learns_what_its_windows_tell() -> None:
    """The offset of a support says on which side its labels lie; no map of single samples could know."""
    world = Angles(angles=2, tasks=16)
    net = Mean()
    train_windows(net, world, Schedule(steps=150, learning_rate=5e-2))
    batch = world.sample(np.random.default_rng(99))
    x, y = to_tensors(batch.support, batch.support_labels)
    with torch.no_grad():
        right = (net(x).argmax(dim=2) == y).float().mean()
    assert right > 0.9


def test_the_same_seed_gives_the_same_net() -> None:
    nets = [Noting(), Noting(), Noting()]
    for net, seed in zip(nets, (1, 1, 2), strict=True):
        train_windows(net, WORLD, Schedule(steps=3, seed=seed))
    weights = [net.map.weight for net in nets]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_loss_that_is_no_longer_finite_ends_training() -> None:
    with pytest.raises(TrainingError, match="the loss is nan at step 2"):
        train_windows(Noting(), Broken(WORLD, 2, []), Schedule(steps=5))


def test_windows_of_two_sizes_are_refused() -> None:
    with pytest.raises(TrainingError, match="do not fit"):
        train_windows(Noting(), Angles(tasks=3, support=5, query=7), Schedule(steps=1))
