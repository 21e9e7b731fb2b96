"""LAME: the window's probabilities are corrected, not the net (Boudiaf et al., CVPR 2022, section 4).

The assignments Z minimise Σ_i KL(z_i ‖ q_i) − ½ Σ_ij w_ij z_iᵀz_j over the simplex, where q are the net's
probabilities and w says which samples are near each other. Each step of the concave-convex procedure is
z_i ∝ q_i exp(Σ_j w_ij z_j), until nothing moves.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from persona.baselines.base import Grid
from persona.baselines.penultimate import Split

STEPS, TOLERANCE = 100, 1e-5


class Lame:
    """One device. Two samples are near where one is among the other's `neighbours` by the cosine of their features.

    Nothing is learned from window to window, so `answer` is the plain net's. SpecError where the net has no linear
    head. The seed is not used: nothing is drawn.
    """

    GRID: ClassVar[Grid] = {"neighbours": (5, 1, 3, 10)}

    def __init__(self, model: nn.Module, seed: int, *, neighbours: int = 5) -> None:
        self._split, self._neighbours = Split(model), neighbours

    @torch.no_grad()
    def step(self, x: Tensor) -> Tensor:
        """Answer (N, K) log-probabilities, corrected over the window. DataError for an unusable window."""
        features = self._split.features(x)
        return assign(self._split.logits(features), affinity(features, self._neighbours))

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, K) as the plain net does. DataError for an unusable window."""
        return self._split.logits(self._split.features(x))


def affinity(features: Tensor, neighbours: int) -> Tensor:
    """Return (N, N): 1 where both samples are among each other's nearest, ½ where one is, 0 elsewhere and for itself.

    Near is by the cosine of features (N, F). The symmetric part of the paper's kNN affinity, for which the steps are
    those of the objective exactly.
    """
    count = len(features)
    unit = F.normalize(features, dim=1)
    cosine = (unit @ unit.T).fill_diagonal_(-2.0)
    nearest = cosine.topk(min(neighbours, count - 1), dim=1).indices
    near = torch.zeros_like(cosine).scatter_(1, nearest, 1.0)
    return (near + near.T) / 2


def assign(logits: Tensor, near: Tensor) -> Tensor:
    """Return the log-probabilities (N, K) at the fixed point of the steps, from logits (N, K) and affinity (N, N)."""
    start = logits.log_softmax(dim=1)
    z = start.exp()
    for _ in range(STEPS):
        last, z = z, (start + near @ z).softmax(dim=1)
        if (z - last).abs().max() < TOLERANCE:
            break
    return (start + near @ z).log_softmax(dim=1)
