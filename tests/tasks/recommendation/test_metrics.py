"""Metrics: by hand, and equal to scikit-learn's and torchmetrics' on the same input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import ndcg_score, roc_auc_score
from torchmetrics.retrieval import RetrievalAUROC, RetrievalHitRate, RetrievalMRR, RetrievalNormalizedDCG

from persona.errors import DataError
from persona.tasks.recommendation.metrics import auc, gains, hits, log_loss, reciprocals, summary, user_auc, user_aucs
from persona.tasks.recommendation.ranking import ranks_of

RNG = np.random.default_rng(5)
SCORES = RNG.permuted(np.tile(np.arange(61.0), (200, 1)), axis=1)  # no ties: the three agree on those only by chance
TARGETS = RNG.integers(1, 61, size=200)
RANKS = ranks_of(SCORES, TARGETS.astype(np.int32))
RELEVANT = np.zeros((200, 60), np.int64)
RELEVANT[np.arange(200), TARGETS - 1] = 1


def test_metrics_are_known_by_hand() -> None:
    ranks = np.asarray([1.0, 3.0, 10.5, 10.0])
    assert hits(ranks, 10).tolist() == [1, 1, 0, 1]
    assert gains(ranks, 3).tolist() == [1, 0.5, 0, 0]
    assert reciprocals(ranks, 5).tolist() == [1, pytest.approx(1 / 3), 0, 0]
    assert summary(ranks, (3,)) == {"HR@3": 0.5, "NDCG@3": 0.375, "MRR@3": pytest.approx(1 / 3)}


@pytest.mark.parametrize("k", [1, 5, 10, 40])
def test_ranking_metrics_equal_torchmetrics(k: int) -> None:
    queries = torch.arange(200).repeat_interleave(60)
    given = (torch.from_numpy(SCORES[:, 1:].ravel()), torch.from_numpy(RELEVANT.ravel()), queries)
    ours = summary(RANKS, (k,))
    for name, theirs in (("HR", RetrievalHitRate), ("NDCG", RetrievalNormalizedDCG), ("MRR", RetrievalMRR)):
        assert ours[f"{name}@{k}"] == pytest.approx(
            float(theirs(top_k=k)(given[0], given[1], indexes=given[2])), abs=1e-6
        )


@pytest.mark.parametrize("k", [1, 10])
def test_ndcg_equals_scikit_learn(k: int) -> None:
    assert gains(RANKS, k).mean() == pytest.approx(ndcg_score(RELEVANT, SCORES[:, 1:], k=k))


@pytest.mark.parametrize("levels", [3, 1000])
def test_auc_and_log_loss_equal_scikit_learn_with_ties_too(levels: int) -> None:
    labels, scores = RNG.integers(2, size=500), RNG.integers(levels, size=500) / levels
    users = RNG.integers(20, size=500)
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert log_loss(labels, scores) == pytest.approx(sklearn_log_loss(labels, scores))
    by_hand = [
        roc_auc_score(labels[users == user], scores[users == user])
        for user in range(20)
        if len(set(labels[users == user])) == 2
    ]
    assert user_auc(users, labels, scores) == pytest.approx(np.mean(by_hand))
    assert user_aucs(users, labels, scores).tolist() == pytest.approx(by_hand)


def test_user_auc_equals_torchmetrics() -> None:
    labels, scores, users = RNG.integers(2, size=400), RNG.permutation(400) / 400, RNG.integers(20, size=400)
    theirs = RetrievalAUROC(empty_target_action="skip")
    given = (torch.from_numpy(scores), torch.from_numpy(labels))
    assert user_auc(users, labels, scores) == pytest.approx(float(theirs(*given, indexes=torch.from_numpy(users))))


def test_users_with_one_class_are_left_out() -> None:
    users, labels = np.asarray([7, 7, 8, 8, 9]), np.asarray([0, 1, 1, 1, 0])
    scores = np.asarray([0.1, 0.2, 0.3, 0.4, 0.5])
    assert user_auc(users, labels, scores) == 1.0
    assert auc(labels, scores) == 0.5
    assert auc(np.asarray([0, 1]), np.asarray([0.5, 0.5])) == 0.5


def test_a_sure_model_that_is_wrong_has_a_finite_loss() -> None:
    assert log_loss(np.asarray([1, 0]), np.asarray([0.0, 1.0])) == pytest.approx(36.04, abs=0.01)


@pytest.mark.parametrize(
    ("measure", "given", "message"),
    [
        (auc, ([1, 1], [0.1, 0.2]), "all labels are the same"),
        (auc, ([1, 2], [0.1, 0.2]), "labels 0 or 1"),
        (auc, ([1], [0.1, 0.2]), r"labels are \(1,\) and scores \(2,\)"),
        (auc, ([1, 0], [np.nan, 0.2]), "NaN"),
        (user_auc, ([0, 1], [1, 0], [0.1, 0.2]), "no user has both"),
        (user_auc, ([0], [1, 0], [0.1, 0.2]), r"\(1,\) users for \(2,\) labels"),
        (log_loss, ([1, 0], [0.1, 1.2]), "between 0 and 1"),
        (log_loss, ([], []), "at least one"),
        (hits, ([1.0],), "the first 0 places"),
        (summary, ([],), "no ranks to take a mean of"),
    ],
)
def test_what_has_no_value_is_refused(measure: Any, given: tuple[Any, ...], message: str) -> None:
    arrays = [np.asarray(column) for column in given]
    with pytest.raises(DataError, match=message):
        measure(*arrays, *([0] if measure is hits else []))
