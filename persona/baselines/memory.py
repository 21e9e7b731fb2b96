"""RoTTA's memory: few samples of every class, fresh and certain ones (Yuan et al., CVPR 2023, section 3, "CSTU")."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from persona.errors import DataError


@dataclass
class Kept:
    """One sample (C, H, W) with its guessed class, the entropy of that guess in nats, and its age in samples."""

    x: Tensor
    label: int
    uncertainty: float
    age: int = 0


class Memory:
    """Up to `capacity` samples of K classes, as evenly as the guesses allow (the paper's algorithm CSTU)."""

    def __init__(self, capacity: int, classes: int) -> None:
        self.capacity, self.classes = capacity, classes
        self.kept: list[Kept] = []

    def check(self, x: Tensor) -> None:
        """Raise DataError where samples (N, C, H, W) are of another shape than those kept."""
        if self.kept and self.kept[0].x.shape != x.shape[1:]:
            kept, given = tuple(self.kept[0].x.shape), tuple(x.shape[1:])
            raise DataError(
                f"a window has samples of shape {given}, the memory those of {kept}; one stream has one size"
            )

    def add(self, x: Tensor, label: int, uncertainty: float) -> None:
        """Offer one sample: it is taken, in place of another where there is no room, or left out; the rest ages."""
        new = Kept(x, label, uncertainty)
        rivals = self._rivals(label)
        if not rivals:
            self.kept.append(new)
        else:
            worst = max(rivals, key=self.burden)
            if self.burden(worst) > self.burden(new):
                self.kept = [each for each in self.kept if each is not worst]
                self.kept.append(new)
        for each in self.kept:
            each.age += 1

    def burden(self, sample: Kept) -> float:
        """Return how little a sample is worth: 1 / (1 + exp(−age / capacity)) + entropy / ln K (both λ are 1)."""
        aged = 1 / (1 + math.exp(-sample.age / self.capacity))
        return aged + sample.uncertainty / math.log(self.classes)

    def samples(self) -> tuple[Tensor, Tensor]:
        """Return all samples (N, C, H, W) and their weights (N,), exp(−A) / (1 + exp(−A)) with A = age / capacity."""
        ages = torch.tensor([each.age / self.capacity for each in self.kept])
        return torch.stack([each.x for each in self.kept]), (-ages).exp() / (1 + (-ages).exp())

    def _rivals(self, label: int) -> list[Kept]:
        """Return those of which one would have to go: of the same class, or of the largest ones; none, with room."""
        counts = Counter(each.label for each in self.kept)
        if counts[label] >= self.capacity / self.classes:
            return [each for each in self.kept if each.label == label]
        if len(self.kept) < self.capacity:
            return []
        most = max(counts.values())
        return [each for each in self.kept if counts[each.label] == most]
