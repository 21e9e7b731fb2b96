"""The losses of sequence backbones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from persona.backbones.din import DIN
from persona.backbones.sasrec import SASRec
from persona.errors import TrainingError
from persona.training.packing import Batch, Packing
from persona.training.seen import SeenItems
from persona.training.sequence_losses import FullSoftmax, Negatives, SampledSoftmax, candidate_scores_of, states_of
from tests.training.logs import askable, log_of, noise

LOG = noise(12, 10, 20, seed=2)
POSITIONS = askable(LOG)


def net_of(kind: type = SASRec) -> SASRec:
    torch.manual_seed(1)
    net: SASRec = kind(LOG.n_items, d=8, length=6, dropout=0.0)
    with torch.no_grad():
        net.items.weight.mul_(20)
        net.bias.normal_()
    return net


def batch() -> Batch:
    return next(Packing(LOG, POSITIONS, 6, 6).batches(100, np.random.default_rng(0)))


@pytest.mark.parametrize("mask", [True, False], ids=["masked", "whole"])
def test_a_sampled_softmax_becomes_the_full_one_as_samples_grow(mask: bool) -> None:
    net, seen, found = net_of(), SeenItems(LOG) if mask else None, []
    rng = np.random.default_rng(0)
    wanted = float(FullSoftmax(seen)(net, batch(), rng).detach())
    for samples in (30, 3_000, 300_000):
        loss = SampledSoftmax(seen, LOG, POSITIONS, samples)
        found.append(np.mean([abs(float(loss(net, batch(), rng).detach()) - wanted) for _ in range(5)]))
    assert found[0] > found[1] > found[2]
    assert found[2] < 0.01 * wanted


def test_so_does_its_gradient() -> None:
    net, seen, rng = net_of(), SeenItems(LOG), np.random.default_rng(0)
    gradients = []
    for loss in (FullSoftmax(seen), SampledSoftmax(seen, LOG, POSITIONS, 1_000_000)):
        net.zero_grad()
        loss(net, batch(), rng).backward()
        gradients.append(net.items.weight.grad)
    torch.testing.assert_close(gradients[1], gradients[0], atol=2e-3, rtol=0.05)


def test_the_mask_leaves_the_seen_out_of_every_loss() -> None:
    """A user who has met all items but the target has nothing left to choose from: the loss of that event is 0."""
    log = log_of([1, 2, 3, 4])
    last, seen = np.array([3]), SeenItems(log)
    net, rng = SASRec(4, d=4, length=4), np.random.default_rng(0)
    given = next(Packing(log, last, 4, 4).batches(1, rng))
    for masked, whole in (
        (FullSoftmax(seen), FullSoftmax(None)),
        (SampledSoftmax(seen, log, last, 50), SampledSoftmax(None, log, last, 50)),
    ):
        assert float(masked(net, given, rng).detach()) == pytest.approx(0, abs=1e-6)
        assert float(whole(net, given, rng).detach()) > 0.1


def test_negatives_are_items_the_user_never_met_in_training() -> None:
    seen, rng = SeenItems(LOG), np.random.default_rng(0)
    given = batch()
    drawn = Negatives(seen, LOG, POSITIONS, 7)._draw(given, rng)
    assert drawn.shape == (len(given.events), 7)
    for row, event in zip(drawn, given.events, strict=True):
        user = LOG.users[event]
        met = set(LOG.items[LOG.offsets[user] : LOG.offsets[user + 1]].tolist())
        assert not met & set(row.tolist())


def test_where_no_negative_is_left_none_is_made_up() -> None:
    log = log_of([1, 2, 3])
    loss, rng = Negatives(SeenItems(log), log, askable(log), 2), np.random.default_rng(0)
    given = next(Packing(log, askable(log), 4, 4).batches(1, rng))
    assert not loss._draw(given, rng).any()
    assert np.isfinite(float(loss(SASRec(3, d=4, length=4), given, rng).detach()))


@pytest.mark.parametrize("kind", [SASRec, DIN])
def test_candidates_are_scored_as_after_the_window_that_ends_before_the_target(kind: type) -> None:
    net, given = net_of(kind), batch()
    candidates = np.random.default_rng(0).integers(1, LOG.n_items + 1, (len(given.events), 3))
    found, _ = candidate_scores_of(net, given, candidates)
    for row in range(0, len(candidates), 5):
        b, column = divmod(int(given.places[row]), given.windows.shape[1])
        window = torch.from_numpy(given.windows[b : b + 1, : column + 1])
        torch.testing.assert_close(found[row], net.score(window, torch.from_numpy(candidates[row : row + 1]))[0])


def test_states_are_those_before_the_targets() -> None:
    net, given = net_of(), batch()
    states, targets = states_of(net, given)
    assert targets.tolist() == LOG.items[given.events].tolist()
    for row in range(0, len(targets), 5):
        b, column = divmod(int(given.places[row]), given.windows.shape[1])
        torch.testing.assert_close(states[row], net(torch.from_numpy(given.windows[b : b + 1]))[0, column])


def test_what_cannot_be_a_loss_is_refused() -> None:
    rng = np.random.default_rng(0)
    for loss in (FullSoftmax(None), SampledSoftmax(None, LOG, POSITIONS, 5)):
        with pytest.raises(TrainingError, match="DIN keeps no state"):
            loss(net_of(DIN), batch(), rng)
    with pytest.raises(TrainingError, match="over 0 sampled items"):
        SampledSoftmax(None, LOG, POSITIONS, 0)
    with pytest.raises(TrainingError, match="0 negatives teach nothing"):
        Negatives(None, LOG, POSITIONS, 0)
