"""NEO: the features before the head are centred at the origin (Murphy et al., ICLR 2026, arXiv 2510.05635).

A shift of the data moves the features of all samples alike, so the logits are W (h − μ) + b, where μ is the mean
feature of all samples seen so far, those of the window among them. The source mean is taken for the origin, as
published: no statistic of the source is needed. The continual variant forgets: μ is then an
exponential mean over windows.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from persona.baselines.base import Grid
from persona.baselines.penultimate import Split


class Neo:
    """One device. `momentum` is the weight of a new window in μ; None counts all samples alike, as published.

    `bias` False leaves b out. Where features follow a ReLU, the source mean is not the origin, and b balances W times
    that mean; with the mean gone b alone would only tilt the classes. SpecError where the net has no linear head. The
    seed is not used: nothing is drawn.
    """

    GRID: ClassVar[Grid] = {"momentum": (None, 0.3, 1.0), "bias": (True, False)}

    def __init__(self, model: nn.Module, seed: int, *, momentum: float | None = None, bias: bool = True) -> None:
        self._split, self._momentum = Split(model), momentum
        if not bias:
            self._split.bias = torch.zeros_like(self._split.bias)
        self._mean: Tensor | None = None  # (F,)
        self._count = 0

    @torch.no_grad()
    def step(self, x: Tensor) -> Tensor:
        """Move the mean feature by the window, then answer (N, K). DataError for an unusable window."""
        features = self._split.features(x)
        self._count += len(x)
        share = len(x) / self._count if self._momentum is None else self._momentum
        now = features.mean(dim=0)
        self._mean = now if self._mean is None else self._mean + share * (now - self._mean)
        return self._split.logits(features - self._mean)

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, K) with the mean feature of earlier windows; before the first as the plain net does.

        DataError for an unusable window.
        """
        features = self._split.features(x)
        return self._split.logits(features if self._mean is None else features - self._mean)
