"""A target among some items: scores, and the binary cross-entropy that the paper's protocol trains and judges by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from persona.tasks.recommendation.events import Positions
from persona.training.event_features import EventFeatures


def negatives_loss(
    query: Float[Tensor, "t q"],
    table: tuple[Tensor, Tensor],
    features: EventFeatures,
    events: Positions,
    negatives: int,
    rng: np.random.Generator,
) -> Float[Tensor, ""]:
    """Return the mean over events (T,) of the loss of a target and of items drawn evenly, those met before left out."""
    log = features.log
    targets = log.items[events].astype(np.int64)[:, None]
    drawn = rng.integers(1, log.n_items + 1, (len(events), negatives))
    wrong = (drawn == targets) | (features.seen.first_met(events, drawn) < events[:, None])
    scores = candidate_scores(query, table, np.concatenate([targets, drawn], axis=1))
    losses = _losses(scores)[:, 1:].masked_fill(torch.from_numpy(wrong), 0).sum(dim=1)
    return (losses + _losses(scores)[:, 0]).mean()


def candidate_scores(
    query: Float[Tensor, "t q"], table: tuple[Tensor, Tensor], candidates: npt.NDArray[np.int64]
) -> Float[Tensor, "t c"]:
    """Return scores of candidates (T, C) by queries, against a table of vectors (I + 1, q) and biases (I + 1,)."""
    vectors, bias = table
    chosen = torch.from_numpy(candidates)
    return torch.einsum("tq,tcq->tc", query, vectors[chosen]) + bias[chosen]


def candidate_losses(scores: Float[Tensor, "t c"]) -> Float[Tensor, " t"]:
    """Return each row's mean log-loss of telling the target, in column 0, from the others."""
    return _losses(scores).mean(dim=1)


def _losses(scores: Tensor) -> Tensor:
    labels = torch.zeros_like(scores)
    labels[:, 0] = 1
    return F.binary_cross_entropy_with_logits(scores, labels, reduction="none")
