"""Whether a window is of one domain: statistics of many are nobody's (docs/method.md).

A window whose samples come from several domains, a stream of single pictures from anywhere for example, has moments
that look familiar and belong to none of its samples: an edit made of them, and statistics taken from them, do harm.
What tells it apart is how far its samples lie from each other. The test is a linear discriminant (Fisher, Annals of
Eugenics 1936) between training windows and windows put together from samples of several of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from persona.edit import Array
from persona.errors import DataError, SpecError

Float64 = npt.NDArray[np.float64]

# Windows of fewer samples say too little about how far these lie from each other: they count as of one domain.
FEWEST_SAMPLES = 8
FEWEST_WINDOWS = 32
# Domains that a window of several is put together from, each as often as the others.
DOMAINS = (2, 3, 4, 8, 16, 32)
# Added to a variance of standardised moments before its logarithm.
FLOOR = 1e-3
SMALLEST_SCALE = 1e-6
# How much of the covariance is replaced by its mean variance: features are many, windows few.
SHRINKAGE = 0.3
# Shares of training windows that still count whole, and of those put together that count for nothing.
WHOLE, NOTHING = 0.99, 0.75
_NAMES = ("center", "scale", "weights", "limits")


@dataclass(frozen=True, eq=False)
class MixtureTest:
    """Shapes: `center` and `scale` (M,) of moments of single samples; `weights` (2, M) of spread and of mean.

    `limits` (2,): the scores up to which a window is of one domain, and from which it is of several. SpecError where
    shapes or numbers make no sense.
    """

    center: Array
    scale: Array
    weights: Array
    limits: Array

    def __post_init__(self) -> None:
        m = self.center.size
        for name, shape in zip(_NAMES, ((m,), (m,), (2, m), (2,)), strict=True):
            value = getattr(self, name)
            if value.shape != shape or not value.size or not np.isfinite(value).all():
                raise SpecError(f"a mixture test's {name} has shape {value.shape}; wanted {shape}, not empty, finite")
        if self.scale.min() <= 0 or self.limits[1] <= self.limits[0]:
            raise SpecError(
                f"a mixture test has limits {self.limits.tolist()} and least scale {self.scale.min():g}; wanted a "
                "second limit above the first, and positive scales: fit it anew"
            )

    @classmethod
    def fit(cls, windows: npt.ArrayLike, rng: np.random.Generator) -> MixtureTest:
        """Return the test of training windows' moments (W, N, M) of single samples, each window of one domain.

        Every other window gives the discriminant, the rest the limits. DataError for fewer than 32 windows or 8 samples
        each, or moments that are not finite.
        """
        found = np.asarray(windows, np.float64)
        if found.ndim != 3 or len(found) < FEWEST_WINDOWS or found.shape[1] < FEWEST_SAMPLES:
            raise DataError(
                f"a mixture test cannot be made from moments {found.shape}; wanted (W, N, M), W ≥ 32, N ≥ 8"
            )
        if not np.isfinite(found).all():
            raise DataError("a mixture test cannot be made from moments that are not finite; leave those windows out")
        center = found.mean(axis=(0, 1))
        scale = np.maximum(found.std(axis=(0, 1)), SMALLEST_SCALE)
        standard = (found - center) / scale
        one = np.stack([_features(window) for window in standard])
        several = np.stack([_features(_put_together(standard, rng)) for _ in standard])
        weights = _discriminant(one[::2], several[::2])
        alone, mixed = (rows[1::2] @ weights for rows in (one, several))
        low = float(np.quantile(alone, WHOLE))
        high = max(float(np.quantile(mixed, 1 - NOTHING)), low + SMALLEST_SCALE)
        arrays = (center, scale, weights.reshape(2, -1), np.array([low, high]))
        return cls(*(np.asarray(a, np.float32) for a in arrays))

    def share(self, moments: npt.ArrayLike) -> float:
        """Return how much the statistics of a window's moments (N, M) hold: 1 for one domain, 0 for several.

        Samples that are not finite are left out; of fewer than 8, it is 1. DataError for moments of another width.
        """
        rows = np.asarray(moments, np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.center.size:
            raise DataError(f"moments have shape {rows.shape}; this mixture test needs (N, {self.center.size})")
        rows = rows[np.isfinite(rows).all(axis=1)]
        if len(rows) < FEWEST_SAMPLES:
            return 1.0
        score = float(_features((rows - self.center) / self.scale) @ self.weights.astype(np.float64).ravel())
        low, high = (float(limit) for limit in self.limits)
        return min(max((high - score) / (high - low), 0.0), 1.0)

    def to_arrays(self) -> dict[str, Array]:
        """Return center, scale, weights and limits, float32."""
        return {name: getattr(self, name) for name in _NAMES}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> MixtureTest:
        """Read what `to_arrays` wrote; SpecError where arrays are missing or do not fit."""
        missing = set(_NAMES) - arrays.keys()
        if missing:
            raise SpecError(f"a mixture test lacks the array {min(missing)!r}; wanted {', '.join(_NAMES)}")
        return cls(*(np.asarray(arrays[name], np.float32) for name in _NAMES))


def _features(standard: Float64) -> Float64:
    """Return the logarithm of the spread between a window's samples (N, M), and their mean, one behind the other."""
    return np.concatenate([np.log(standard.var(axis=0) + FLOOR), standard.mean(axis=0)])


def _put_together(windows: Float64, rng: np.random.Generator) -> Float64:
    """Return a window (N, M) of samples that several windows (W, N, M) have in equal parts."""
    count, samples = windows.shape[:2]
    origins = np.resize(rng.choice(count, rng.choice(DOMAINS), replace=False), samples)
    return np.asarray(windows[origins, rng.permutation(samples)])


def _discriminant(one: Float64, several: Float64) -> Float64:
    """Return the direction that tells two sets of rows (n, F) apart best, of unit standard deviation within them."""
    centred = np.concatenate([one - one.mean(axis=0), several - several.mean(axis=0)])
    covariance = centred.T @ centred / len(centred)
    width = len(covariance)
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.trace(covariance) / width * np.eye(width)
    direction = np.linalg.solve(covariance, several.mean(axis=0) - one.mean(axis=0))
    return np.asarray(direction / np.sqrt(max(direction @ covariance @ direction, SMALLEST_SCALE)))
