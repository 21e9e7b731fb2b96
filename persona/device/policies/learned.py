"""A learned detector under a budget, in the manner of IntellectReq (Lv et al., WWW 2024).

It reads where the data was at the last answer against where it is now, and how unsure the model is, and says how likely
a request is to be worth it. The threshold comes from a budget: the share of windows that may ask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from persona.device.policies.base import Observation
from persona.errors import DataError

# What is read of an observation, in this order.
INPUTS = ("drift", "moved", "uncertainty", "log1p windows")
_RIDGE = 1e-3
_STEPS = 50
_LARGEST = 30.0  # a score beyond this is as good as certain


@dataclass(frozen=True)
class LearnedDetector:
    """A logistic model, as plain numbers that can travel in any settings: `weights` and `bias` of the inputs, and the
    `threshold` on its score from which it asks. It asks at the start and after an expiry as well.
    """

    weights: tuple[float, float, float, float]
    bias: float
    threshold: float

    def __post_init__(self) -> None:
        """DataError where a number is not finite; a threshold may be infinite, which never asks."""
        if len(self.weights) != len(INPUTS) or not all(map(math.isfinite, (*self.weights, self.bias))):
            raise DataError(
                f"a detector has weights {self.weights} and bias {self.bias}; wanted {len(INPUTS)} numbers and one, "
                "all finite"
            )
        if math.isnan(self.threshold):
            raise DataError("a detector's threshold is not a number; fit it anew")

    def score(self, seen: Observation) -> float:
        """Return the log odds that a request is worth it."""
        return self.bias + sum(w * x for w, x in zip(self.weights, inputs_of(seen), strict=True))

    def should_ask(self, seen: Observation) -> bool:
        """Return whether to ask now."""
        never = not seen.windows and seen.jumped  # nothing is known to compare with
        return never or seen.expired or self.score(seen) >= self.threshold


def inputs_of(seen: Observation) -> tuple[float, float, float, float]:
    """Return what the detector reads of an observation, in the order of `INPUTS`."""
    return seen.drift, seen.moved, seen.uncertainty, math.log1p(seen.windows)


def fit_detector(seen: Sequence[Observation], worth: npt.ArrayLike, budget: float) -> LearnedDetector:
    """Return the detector of recorded observations and whether a request was worth it, (N,) of 0 and 1.

    `worth` is known afterwards, where labels are: for example, whether a fresh edit would have changed a wrong answer
    into a right one. `budget` in (0, 1] is the share of these windows that would ask; `threshold` is its quantile of
    the scores. Logistic regression by Newton steps, with a small ridge. DataError where there is nothing to learn from.
    """
    x, y = np.array([inputs_of(one) for one in seen], np.float64), np.asarray(worth, np.float64)
    if x.ndim != 2 or y.shape != (len(x),) or not np.isfinite(x).all() or not np.isin(y, (0, 1)).all():
        raise DataError(
            f"a detector is fitted from {len(seen)} observations and outcomes of shape {y.shape}; wanted as many of "
            "each, finite, outcomes 0 or 1"
        )
    if not 0 < budget <= 1 or y.min() == y.max():
        raise DataError(
            f"a detector has budget {budget} and outcomes all {y.min():g} to {y.max():g}; wanted a share above 0, and "
            "outcomes of both kinds"
        )
    mean, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
    rows = np.column_stack([(x - mean) / spread, np.ones(len(x))])
    found = _newton(rows, y)
    weights = found[:-1] / spread
    scores = rows @ found
    threshold = float(np.quantile(scores, 1 - budget, method="higher"))
    w0, w1, w2, w3 = map(float, weights)
    return LearnedDetector((w0, w1, w2, w3), float(found[-1] - mean @ weights), threshold)


def _newton(rows: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    penalty = _RIDGE * len(rows) * np.eye(rows.shape[1])
    penalty[-1, -1] = 1e-9  # the bias is free
    found = np.zeros(rows.shape[1])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(rows @ found, -_LARGEST, _LARGEST)))
        slope = rows.T @ (y - chance) - penalty @ found
        step = np.linalg.solve((rows * (chance * (1 - chance))[:, None]).T @ rows + penalty, slope)
        found = found + step
        if np.abs(step).max() < 1e-9:
            break
    return found
