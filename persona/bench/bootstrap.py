"""Intervals by bootstrap: how often each of some devices or users is drawn, and between what the draws lie.

Drawn with replacement (Efron, 1979: the percentile interval), and alike for every pair of rows.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
BOOTSTRAPS = 2000
_TAILS = (0.025, 0.975)


@lru_cache(maxsize=64)
def drawn(n: int, seed: int = 0) -> Floats:
    """Return how often each of n is drawn (BOOTSTRAPS, n), as shares: the same draws for every pair of rows."""
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=BOOTSTRAPS)
    return np.asarray(counts / n, np.float64)


def interval(draws: Floats) -> tuple[float, float]:
    """Return the ends of the 95 % interval of what was found in each draw."""
    low, high = np.quantile(draws, _TAILS)
    return float(low), float(high)
