"""What is reported: HR, NDCG and MRR at k from ranks; AUC, AUC by user and log-loss from scores of single events.

Ranks may be halves (see `ranking`): a target counts as among the first k where its rank is at most k, and its gain is
taken at the rank as it is. With one target a query the ideal gain is 1, so NDCG is the gain itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from persona.errors import DataError

Floats = npt.NDArray[np.floating[Any]]
SMALLEST = np.finfo(np.float64).eps  # what a probability of 0 counts as in a logarithm


def hits(ranks: Floats, k: int) -> npt.NDArray[np.float64]:
    """1 for each query (Q,) whose target is among the first k, otherwise 0; the mean is HR@k."""
    return (ranks <= _positive(k)).astype(np.float64)


def gains(ranks: Floats, k: int) -> npt.NDArray[np.float64]:
    """``1 / log2(1 + rank)`` for each query (Q,) whose target is among the first k; the mean is NDCG@k."""
    return np.where(ranks <= _positive(k), 1.0 / np.log2(1.0 + ranks), 0.0)


def reciprocals(ranks: Floats, k: int) -> npt.NDArray[np.float64]:
    """``1 / rank`` for each query (Q,) whose target is among the first k; the mean is MRR@k."""
    return np.where(ranks <= _positive(k), 1.0 / ranks, 0.0)


def summary(ranks: Floats, ks: tuple[int, ...] = (5, 10, 20)) -> dict[str, float]:
    """The means by name: ``HR@10``, ``NDCG@10``, ``MRR@10`` and the same for every other k. DataError without ranks."""
    if not len(ranks):
        raise DataError("there are no ranks to take a mean of; wanted at least one query")
    kinds = {"HR": hits, "NDCG": gains, "MRR": reciprocals}
    return {f"{name}@{k}": float(of(ranks, k).mean()) for k in ks for name, of in kinds.items()}


def auc(labels: npt.NDArray[Any], scores: Floats) -> float:
    """The share of pairs of a positive (label 1) and a negative (0) that scores put right; ties count half.

    DataError where one class is absent.
    """
    value = user_aucs(np.zeros(len(labels), np.int64), labels, scores)
    if not len(value):
        raise DataError("an AUC needs a positive and a negative, and all labels are the same")
    return float(value[0])


def user_auc(users: npt.NDArray[Any], labels: npt.NDArray[Any], scores: Floats) -> float:
    """The mean of the users' own AUCs, over those who have both classes. DataError where nobody has."""
    values = user_aucs(users, labels, scores)
    if not len(values):
        raise DataError("no user has both a positive and a negative; wanted at least one who has")
    return float(values.mean())


def user_aucs(users: npt.NDArray[Any], labels: npt.NDArray[Any], scores: Floats) -> npt.NDArray[np.float64]:
    """The AUC of each user who has both classes, in the order of their numbers."""
    labels, scores = _labelled(labels, scores)
    if users.shape != labels.shape:
        raise DataError(f"{users.shape} users for {labels.shape} labels; wanted one for each")
    _, of = np.unique(users, return_inverse=True)
    order = np.lexsort((scores, of))
    of, scores, positive = of[order], scores[order], labels[order] == 1
    count = np.bincount(of)
    place = np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count) + 1.0
    new = np.ones(len(of), np.bool_)
    new[1:] = (of[1:] != of[:-1]) | (scores[1:] != scores[:-1])
    group = np.cumsum(new) - 1
    shared = (np.bincount(group, place) / np.bincount(group))[group]  # ties share the mean of their places
    positives = np.bincount(of, positive)
    negatives = count - positives
    both = (positives > 0) & (negatives > 0)
    above = np.bincount(of, shared * positive) - positives * (positives + 1) / 2
    values: npt.NDArray[np.float64] = above[both] / (positives * negatives)[both]
    return values


def log_loss(labels: npt.NDArray[Any], probabilities: Floats) -> float:
    """The mean of ``-log`` of the probability (N,) given to what happened; 0 and 1 count as within 2e-16 of them."""
    labels, probabilities = _labelled(labels, probabilities)
    if not len(labels) or probabilities.min() < 0 or probabilities.max() > 1:
        raise DataError("a log-loss needs probabilities between 0 and 1, at least one; pass scores through a sigmoid")
    clear = np.clip(probabilities.astype(np.float64), SMALLEST, 1 - SMALLEST)
    return float(-np.log(np.where(labels == 1, clear, 1 - clear)).mean())


def _positive(k: int) -> int:
    if k < 1:
        raise DataError(f"the first {k} places were asked for; wanted at least 1")
    return k


def _labelled(labels: npt.NDArray[Any], scores: Floats) -> tuple[npt.NDArray[Any], Floats]:
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.shape != scores.shape or not np.isin(labels, (0, 1)).all():
        raise DataError(f"labels are {labels.shape} and scores {scores.shape}; wanted as many of each, labels 0 or 1")
    if np.isnan(scores).any():
        raise DataError("scores have NaN among them; look for it in the model")
    return labels, scores
