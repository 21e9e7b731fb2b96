"""T3A: a classifier of prototypes that the stream's own features adjust (Iwasawa & Matsuo, NeurIPS 2021, section 3).

Each class keeps a support set of normalised features, which starts with the class's row of the head's weights. A
feature joins the set of the class that the head says; of each set the features of least entropy stay; their mean is the
prototype, and a picture's logits are the dot products of its feature with the prototypes.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from persona.baselines.base import Grid
from persona.baselines.descent import entropy
from persona.baselines.penultimate import Split


class T3A:
    """One device. `keep` is how many features a class keeps; the head's own row competes with them.

    The paper's equation takes the mean as it is, which is the longer the tighter a class lies; `unit` scales prototypes
    to length one. SpecError where the net has no linear head. The seed is not used: nothing is drawn.
    """

    GRID: ClassVar[Grid] = {"keep": (20, 5, 100), "unit": (False, True)}

    def __init__(self, model: nn.Module, seed: int, *, keep: int = 20, unit: bool = False) -> None:
        self._split, self._keep, self._unit = Split(model), keep, unit
        self._has_started = False
        self._supports = F.normalize(self._split.weight, dim=1)  # (M, F)
        rows = self._split.logits(self._split.weight)
        self._labels = torch.arange(len(rows))  # (M,)
        self._entropies = entropy(rows)  # (M,)

    @torch.no_grad()
    def step(self, x: Tensor) -> Tensor:
        """Let the window's features (N, F) join the supports, then answer (N, K). DataError for an unusable window."""
        features = self._split.features(x)
        logits = self._split.logits(features)
        self._supports = torch.cat([self._supports, F.normalize(features, dim=1)])
        self._labels = torch.cat([self._labels, logits.argmax(dim=1)])
        self._entropies = torch.cat([self._entropies, entropy(logits)])
        self._keep_surest()
        self._has_started = True
        return features @ self.prototypes().T

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, K) with the prototypes of earlier windows; before the first as the plain net does.

        DataError for an unusable window.
        """
        features = self._split.features(x)
        return features @ self.prototypes().T if self._has_started else self._split.logits(features)

    def prototypes(self) -> Tensor:
        """Return the mean support of each class (K, F), of length one where `unit`."""
        members = F.one_hot(self._labels, len(self._split.weight)).to(self._supports.dtype)  # (M, K)
        means = members.T @ self._supports / members.sum(dim=0).unsqueeze(1)
        return F.normalize(means, dim=1) if self._unit else means

    def _keep_surest(self) -> None:
        order = self._entropies.argsort(stable=True)
        members = F.one_hot(self._labels[order], len(self._split.weight))
        rank = (members.cumsum(dim=0) * members).sum(dim=1)  # 1 for the surest of its class
        kept = order[rank <= self._keep].sort().values
        self._supports, self._labels = self._supports[kept], self._labels[kept]
        self._entropies = self._entropies[kept]
