"""The jump test: have the first layer's statistics left the domain they were in? (method §7)

The first tap sits before every edited layer, so its moments mean the same whichever edit is active, and cost no extra
pass. Two consecutive windows are compared; the threshold is the 95 % quantile of the distance within a domain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from persona.edit import Array
from persona.errors import SpecError
from persona.sketch import Sketch, SketchSpec

# A test over more samples than this would notice a jump too late to be of use.
WINDOW_LIMIT = 4096


@dataclass(frozen=True)
class JumpSpec:
    """How far windows of `window` samples differ within a domain.

    `noise` (F1,): standard deviation of each first-tap feature between windows of one domain; `threshold`: the distance
    above which two windows are taken to be of different domains.
    """

    noise: Array
    threshold: float
    window: int

    def __post_init__(self) -> None:
        """SpecError where the numbers make no sense."""
        noise = self.noise
        if noise.ndim != 1 or not noise.size or not np.isfinite(noise).all() or noise.min() <= 0:
            raise SpecError(f"a jump test's noise has shape {self.noise.shape}; wanted (F1,) of positive numbers")
        if not (math.isfinite(self.threshold) and self.threshold > 0) or not 1 <= self.window <= WINDOW_LIMIT:
            raise SpecError(
                f"a jump test has threshold {self.threshold}, window {self.window}; wanted both positive, "
                f"a window up to {WINDOW_LIMIT}"
            )

    def distance(self, spec: SketchSpec, before: Sketch, now: Sketch) -> float:
        """Return the root mean square difference of the first tap's features, in units of the noise."""
        difference = now.tap_features(spec, 1) - before.tap_features(spec, 1)
        return float(np.sqrt(np.mean((difference / self.noise) ** 2)))

    def jumped(self, spec: SketchSpec, before: Sketch, now: Sketch) -> bool:
        """Return whether two windows are of different domains; False while either is empty."""
        return bool(before.count and now.count) and self.distance(spec, before, now) > self.threshold
