"""Ranks from a torch net are those of the numpy ranking."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from persona.backbones.din import DIN
from persona.backbones.gru4rec import GRU4Rec
from persona.backbones.sasrec import SASRec
from persona.errors import DataError
from persona.tasks.recommendation import ranking
from persona.tasks.recommendation.events import Positions
from persona.tasks.recommendation.ranking import rank_targets
from persona.training.ranking import catalogue, rank_queries, ranks_of
from persona.training.seen import SeenItems
from tests.training.logs import askable, log_of, noise


@pytest.mark.parametrize("kind", [SASRec, GRU4Rec, DIN])
@pytest.mark.parametrize("filter_seen", [True, False])
@pytest.mark.parametrize("ties", [True, False])
def test_they_are_those_of_numpy(kind: type, filter_seen: bool, ties: bool) -> None:
    log = noise(30, 12, 18, seed=1)
    torch.manual_seed(0)
    net = kind(log.n_items, d=8, length=6).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(std=0.0 if ties else 0.3)

    def scores(positions: Positions) -> np.ndarray:
        with torch.no_grad():
            return catalogue(net, torch.from_numpy(log.windows(positions, net.length))).numpy()

    asked = np.random.default_rng(0).permutation(askable(log))
    found = rank_queries(net, log, asked, SeenItems(log) if filter_seen else None)
    np.testing.assert_array_equal(found, rank_targets(scores, log, asked, filter_seen=filter_seen))
    if ties:
        assert (found % 1 == 0.5).any()


def test_where_some_tie_they_are_those_of_numpy() -> None:
    log = noise(30, 12, 18, seed=2)
    asked = askable(log)
    scores = np.random.default_rng(0).integers(4, size=(len(asked), log.n_items + 1)).astype(np.float32)
    targets = torch.from_numpy(log.items[asked].astype(np.int64))
    wanted = ranking.ranks_of(scores, log.items[asked], ranking.seen_before(log, asked))
    found = ranks_of(torch.from_numpy(scores.copy()), targets, SeenItems(log).before(asked))
    np.testing.assert_array_equal(found.numpy(), wanted)
    assert len(np.unique(wanted % 1)) == 2


def test_the_nets_mode_is_put_back() -> None:
    log = log_of([1, 2, 3])
    net = SASRec(3, d=4, length=3)
    rank_queries(net, log, askable(log), None)
    assert net.training
    rank_queries(net.eval(), log, askable(log), None)
    assert not net.training


def test_nothing_asked_gives_no_ranks() -> None:
    assert rank_queries(SASRec(3, d=4), log_of([1, 2, 3]), np.zeros(0, np.int64), None).shape == (0,)


def test_what_cannot_be_ranked_is_refused() -> None:
    log = log_of([1, 2, 3], n_items=9)
    with pytest.raises(DataError, match="the log has 9 items and the net was made for 3"):
        rank_queries(SASRec(3, d=4), log, askable(log), None)
    with pytest.raises(DataError, match="not finite"):
        ranks_of(torch.full((1, 4), torch.nan), torch.tensor([2]), None)
    with pytest.raises(DataError, match="NaN among them"):
        ranks_of(torch.tensor([[-torch.inf, 1.0, 2.0, torch.nan]]), torch.tensor([2]), None)
