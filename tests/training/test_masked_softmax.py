"""The softmax without what was seen, against a slow one from which those items are really taken out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from persona.tasks.recommendation.events import EventLog, Positions
from persona.training.masked_softmax import masked_cross_entropy
from persona.training.seen import SeenItems
from tests.training.logs import askable, noise


def slow(states: Tensor, vectors: Tensor, bias: Tensor, log: EventLog, events: Positions, *, mask: bool) -> Tensor:
    losses = []
    for state, event in zip(states, events, strict=True):
        before = set(log.items[log.offsets[log.users[event]] : event].tolist()) if mask else set()
        target = int(log.items[event])
        kept = [item for item in range(1, log.n_items + 1) if item == target or item not in before]
        scores = vectors[kept] @ state + bias[kept]
        losses.append(F.cross_entropy(scores[None], torch.tensor([kept.index(target)])))
    return torch.stack(losses).mean()


def world(items: int, users: int = 8) -> tuple[EventLog, Positions, tuple[Tensor, Tensor, Tensor], Tensor]:
    log = noise(users, 12, items, seed=3)
    events = np.random.default_rng(0).permutation(askable(log))
    torch.manual_seed(0)
    shapes = ((len(events), 5), (items + 1, 5), (items + 1,))
    given = tuple(torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    return log, events, given, torch.from_numpy(log.items[events].astype(np.int64))  # type: ignore[return-value]


@pytest.mark.parametrize("mask", [True, False], ids=["masked", "whole"])
@pytest.mark.parametrize("items", [7, 20_000], ids=["few", "more than are worked on at once"])
def test_it_is_the_softmax_with_the_seen_items_deleted(items: int, mask: bool) -> None:
    log, events, given, targets = world(items)
    seen = SeenItems(log).before(events) if mask else None
    found, wanted = masked_cross_entropy(*given, targets, seen), slow(*given, log, events, mask=mask)
    torch.testing.assert_close(found, wanted)
    for ours, theirs in zip(torch.autograd.grad(3 * found, given), torch.autograd.grad(3 * wanted, given), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_its_gradient_is_that_of_its_value() -> None:
    log, events, given, targets = world(6, users=3)
    seen = SeenItems(log).before(events)
    assert torch.autograd.gradcheck(lambda *x: masked_cross_entropy(*x, targets, seen), given)


def test_scores_far_apart_neither_overflow_nor_vanish() -> None:
    states, bias = torch.tensor([[1.0]]), torch.zeros(3)
    vectors = torch.tensor([[0.0], [400.0], [-400.0]], requires_grad=True)
    loss = masked_cross_entropy(states, vectors, bias, torch.tensor([2]), None)
    loss.backward()
    assert loss.item() == pytest.approx(800.0)
    assert bool(vectors.grad.isfinite().all())  # type: ignore[union-attr]


def test_where_no_gradient_is_wanted_none_is_worked_out() -> None:
    _, _, given, targets = world(7)
    with torch.no_grad():
        value = masked_cross_entropy(*given, targets, None)
    assert not value.requires_grad
    torch.testing.assert_close(value, masked_cross_entropy(*given, targets, None).detach())
