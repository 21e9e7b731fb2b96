"""ROID: a loss weighted by certainty and diversity, weights held near the source, and a correction by the prior.

Marsden, Döbler and Yang, "Universal Test-time Adaptation through Weight Ensembling, Diversity Weighting, and Prior
Correction", WACV 2024, section 3. The prior multiplies probabilities, which is Bayes' rule for a shifted prior.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from persona.baselines.augment import augment
from persona.baselines.base import Grid
from persona.baselines.descent import cross_entropy, descend, entropy, follow, learn_only
from persona.baselines.norms import affine_parameters
from persona.baselines.settings import check_range
from persona.baselines.windowed import WindowedNet

TEMPERATURE = 1 / 3  # of the weights
CLIP = 0.99  # of a probability in the likelihood ratio, which would grow without bound
KEPT = 0.9  # of the average prediction, from window to window


class Roid:
    """One Adam step of rate `rate` a window on the norms' parameters, which are then pulled to the source.

    θ ← momentum · θ + (1 − momentum) · θ_source. `prior` says whether answers are corrected by the window's class
    frequencies. Published: rate 1e-3, momentum 0.99, with the correction. The seed decides the looks. SpecError where
    no norm has parameters, or a setting is out of range.
    """

    GRID: ClassVar[Grid] = {"rate": (1e-3, 3e-3, 3e-4), "prior": (True, False)}

    def __init__(
        self, model: nn.Module, seed: int, *, rate: float = 1e-3, momentum: float = 0.99, prior: bool = True
    ) -> None:
        check_range("rate of ROID", rate)
        check_range("momentum of ROID", momentum, high=1)
        self._net = WindowedNet(model)
        self._learned = affine_parameters(self._net.net)
        learn_only(self._net.net, self._learned)
        self._source = [parameter.detach().clone() for parameter in self._learned]
        self._optimizer = torch.optim.Adam(self._learned, lr=rate)
        self._dice = torch.Generator().manual_seed(seed)
        self._momentum, self._corrects = momentum, prior
        self._average: Tensor | None = None  # (K,)
        self._bias: Tensor | None = None  # (K,), the logarithm of the last window's smoothed prior

    @torch.enable_grad()
    def step(self, x: Tensor) -> Tensor:
        """Answer (N, K), then learn. DataError for a bad window, from which nothing is learned."""
        logits = self._net.look(x)
        predictions = logits.detach().softmax(1)
        if self._average is None:
            self._average = torch.full_like(predictions[0], 1 / predictions.shape[1])
        weights = sample_weights(logits.detach(), self._average)
        self._average = torch.lerp(predictions.mean(dim=0), self._average, KEPT)
        descend(self._optimizer, self._loss(x, logits, weights), self._learned)
        follow(self._learned, self._source, 1 - self._momentum)
        self._bias = smoothed_prior(predictions).log()
        return self._corrected(logits.detach())

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, K) under the last window's statistics and prior. DataError for a bad window."""
        return self._corrected(self._net.answer(x))

    def _loss(self, x: Tensor, logits: Tensor, weights: Tensor) -> Tensor:
        counting = weights > 0
        chosen, weights = logits[counting], weights[counting]
        other = self._net.peek(augment(x[counting], self._dice))
        each = likelihood_ratio(chosen) + symmetric_cross_entropy(chosen, other)
        return (weights * each).sum() / len(x)

    def _corrected(self, logits: Tensor) -> Tensor:
        return logits + self._bias if self._corrects and self._bias is not None else logits


def likelihood_ratio(logits: Tensor) -> Tensor:
    """Return the soft likelihood ratio loss (N,): −Σ_c p_c log(p_c / Σ_{j≠c} p_j), p_c before the logarithm clipped."""
    own = torch.eye(logits.shape[1], dtype=torch.bool)
    others = logits.unsqueeze(1).masked_fill(own, -torch.inf).logsumexp(dim=2)
    return -(logits.softmax(1).clamp(max=CLIP) * (logits - others)).sum(1)


def symmetric_cross_entropy(first: Tensor, second: Tensor) -> Tensor:
    """Return half the sum of both cross-entropies (N,) between predictions given as logits (N, K)."""
    return (cross_entropy(first.softmax(1), second) + cross_entropy(second.softmax(1), first)) / 2


def sample_weights(logits: Tensor, average: Tensor) -> Tensor:
    """Return exp(diversity · certainty / τ) (N,), both scaled to [0, 1] over the window; 0 below the mean diversity.

    Diversity is one minus the cosine to the average prediction (K,) so far, certainty the negative entropy.
    """
    diversity = _to_unit(1 - F.cosine_similarity(logits.softmax(1), average.unsqueeze(0)))
    certainty = _to_unit(-entropy(logits))
    weights = (diversity * certainty / TEMPERATURE).exp()
    return torch.where(diversity < diversity.mean(), 0.0, weights)


def smoothed_prior(predictions: Tensor) -> Tensor:
    """Return the mean prediction (K,), smoothed by γ = max(1/N, 1/K) / its maximum: (p + γ) / (1 + γ K)."""
    samples, classes = predictions.shape
    mean = predictions.mean(dim=0)
    more = max(1 / samples, 1 / classes) / mean.max()
    return (mean + more) / (1 + more * classes)


def _to_unit(values: Tensor) -> Tensor:
    low, high = torch.aminmax(values)
    # Where all are alike, none counts less than another.
    return (values - low) / (high - low) if high > low else torch.ones_like(values)
