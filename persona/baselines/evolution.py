"""An evolution strategy with a diagonal covariance: separable CMA-ES (Ros & Hansen, PPSN 2008).

The constants are those of Hansen's tutorial (arXiv 1604.00772, table 1), the covariance's rates raised by (n + 2) / 3
as Ros & Hansen do: only n variances are learned, so they may be learned faster.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Evolution:
    """A normal distribution over n numbers, whose `mean` (n,) and variances follow the fitter half of its draws."""

    def __init__(self, mean: Tensor, spread: float, population: int, seed: int) -> None:
        n = len(mean)
        self.mean, self.spread, self.population = mean.clone(), spread, population
        self._variance = torch.ones_like(mean)
        self._path_spread, self._path = torch.zeros_like(mean), torch.zeros_like(mean)
        self._dice = torch.Generator().manual_seed(seed)
        ranks = torch.arange(1, population // 2 + 1, dtype=mean.dtype)
        weights = math.log((population + 1) / 2) - ranks.log()
        self._weights = weights / weights.sum()  # (population // 2,)
        self._effective = mu = float(1 / (self._weights**2).sum())
        self._c_spread = (mu + 2) / (n + mu + 5)
        self._damping = 1 + 2 * max(0.0, math.sqrt((mu - 1) / (n + 1)) - 1) + self._c_spread
        self._c_path = (4 + mu / n) / (n + 4 + 2 * mu / n)
        faster = (n + 2) / 3
        self._c_one = min(1.0, faster * 2 / ((n + 1.3) ** 2 + mu))
        self._c_mu = min(1 - self._c_one, faster * 2 * (mu - 2 + 1 / mu) / ((n + 2) ** 2 + mu))
        self._usual = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))  # the length of n normal numbers

    def ask(self) -> Tensor:
        """Return a population of draws (population, n)."""
        z = torch.randn(self.population, len(self.mean), generator=self._dice, dtype=self.mean.dtype)
        return self.mean + self.spread * self._variance.sqrt() * z

    def tell(self, draws: Tensor, fitness: Tensor) -> None:
        """Move towards the draws (population, n) whose fitness (population,) is least."""
        steps = (draws[fitness.argsort()[: len(self._weights)]] - self.mean) / self.spread
        step = self._weights @ steps
        self.mean = self.mean + self.spread * step
        c, mu = self._c_spread, self._effective
        self._path_spread = (1 - c) * self._path_spread + math.sqrt(c * (2 - c) * mu) * step / self._variance.sqrt()
        length = float(self._path_spread.norm())
        c = self._c_path
        calm = float(length < (1.4 + 2 / (len(step) + 1)) * self._usual)  # no learning along the path while it races
        self._path = (1 - c) * self._path + calm * math.sqrt(c * (2 - c) * mu) * step
        kept = 1 - self._c_one - self._c_mu
        spread_out = self._c_one * self._path**2 + self._c_mu * (self._weights @ steps**2)
        self._variance = (kept * self._variance + spread_out).clamp(1e-8, 1e8)
        growth = self._c_spread / self._damping * (length / self._usual - 1)
        self.spread = min(max(self.spread * math.exp(min(growth, 1.0)), 1e-6), 1e3)
