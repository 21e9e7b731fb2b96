"""Prototype centres that follow the codes during training, so that prototypes are trained for (method §4, β)."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from persona.errors import TrainingError


class Centres:
    """K running centres in code space; no parameters, no gradient.

    Each update moves a centre towards the mean of the codes nearest to it by `rate`; centres are seeded from the first
    codes. TrainingError for fewer than one centre.
    """

    def __init__(self, k: int, rate: float = 0.05) -> None:
        if k < 1:
            raise TrainingError(f"{k} prototypes cannot stand for anything; keep at least 1, or give none a share")
        self.k, self.rate = k, rate
        self.values: Tensor | None = None  # (K, n, d)

    @torch.no_grad()
    def update(self, codes: Float[Tensor, "b n d"]) -> None:
        """Let the centres follow the codes of one batch."""
        if self.values is None or len(self.values) < self.k:
            known = codes[:0] if self.values is None else self.values
            self.values = torch.cat([known, codes])[: self.k]
        else:
            nearest = self.nearest(codes)
            for index in set(nearest.tolist()):
                mean = codes[nearest == index].mean(dim=0)
                self.values[index].lerp_(mean, self.rate)

    def nearest(self, codes: Float[Tensor, "b n d"]) -> Tensor:
        """Return the index (B,) of the centre nearest to each code."""
        if self.values is None:
            raise ValueError("the centres have seen no codes yet; call update first")
        return torch.cdist(codes.flatten(1), self.values.flatten(1)).argmin(dim=1)

    def replace_some(
        self, codes: Float[Tensor, "b n d"], share: float, rng: np.random.Generator
    ) -> Float[Tensor, "b n d"]:
        """Put centres in the place of about `share` of the codes; the gradient passes straight through to the codes."""
        if share <= 0 or self.values is None or len(self.values) < self.k:
            return codes
        chosen = torch.from_numpy(rng.random(len(codes)) < share).reshape(-1, 1, 1)
        straight_through = codes + (self.values[self.nearest(codes.detach())] - codes).detach()
        return torch.where(chosen, straight_through, codes)
