"""The gate of edits and of the prior term: how familiar a device's data is (docs/method.md, decision 6).

On unfamiliar data a code is a guess and the classifier's own histogram is wrong, and both do harm. A gate compares a
sketch with those of training: how far it lies outside the span of their main directions (the squared prediction error
of Jackson and Mudholkar, Technometrics 1979), and how far out along them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from persona.edit import Array
from persona.errors import DataError, SpecError

Float64 = npt.NDArray[np.float64]

# Main directions that are kept: at most so many, and never more than a third of the features or a quarter of the
# windows. On Fashion-MNIST's held-out families 128 tell apart about as well as all windows' nearest neighbours.
DIRECTIONS = 128
# Windows that a gate is made from at least: half of them give the directions, the other half the distances.
FEWEST_WINDOWS = 16
# Shares of training windows: up to the first a window counts as familiar, from the second on as strange. Chosen on
# validation pictures of Fashion-MNIST under seen and held families.
FAMILIAR, STRANGE = 0.8, 0.98
SMALLEST = 1e-6
_NAMES = ("center", "directions", "spreads", "limits")


@dataclass(frozen=True, eq=False)
class SketchGate:
    """Shapes: `center` (F,); `directions` (q, F), orthonormal rows; `spreads` (q,) standard deviations along them.

    `limits` (4,): what counts as one unit of distance outside the directions and along them; the distances up to which
    the weight is 1, and from which it is 0. SpecError where shapes or numbers make no sense.
    """

    center: Array
    directions: Array
    spreads: Array
    limits: Array

    def __post_init__(self) -> None:
        q = len(self.spreads) if self.spreads.ndim == 1 else 0
        wanted = zip(_NAMES, ((self.center.size,), (q, self.center.size), (q,), (4,)), strict=True)
        for name, shape in wanted:
            value = getattr(self, name)
            if value.shape != shape or not value.size or not np.isfinite(value).all():
                raise SpecError(f"a gate's {name} has shape {value.shape}; wanted {shape}, not empty, all finite")
        if self.spreads.min() <= 0 or self.limits[:3].min() <= 0 or self.limits[3] <= self.limits[2]:
            raise SpecError(
                f"a gate has limits {self.limits.tolist()} and least spread {self.spreads.min():g}; wanted positive "
                "numbers, the last limit above the one before it: fit it anew"
            )

    @classmethod
    def fit(cls, features: npt.ArrayLike, familiar: float = FAMILIAR, strange: float = STRANGE) -> SketchGate:
        """Return the gate of training windows' features (N, F), each a sketch standardised as devices do.

        Every other window gives the directions, the rest the distances that are usual for windows not seen before.
        DataError for fewer than 16 windows, features that are not finite, or shares that are not 0 < familiar < strange
        ≤ 1.
        """
        rows = np.asarray(features, np.float64)
        if rows.ndim != 2 or len(rows) < FEWEST_WINDOWS or not rows.shape[1] or not np.isfinite(rows).all():
            raise DataError(f"a gate cannot be made from features {rows.shape}; wanted (N, F), N ≥ 16, all finite")
        if not 0 < familiar < strange <= 1:
            raise DataError(f"a gate's shares are {familiar} and {strange}; wanted 0 < familiar < strange ≤ 1")
        made, other = rows[::2], rows[1::2]
        center = made.mean(axis=0)
        count = max(1, min(DIRECTIONS, rows.shape[1] // 3, len(made) // 4))
        variances, vectors = np.linalg.eigh(np.cov(made, rowvar=False, bias=True).reshape(len(center), -1))
        directions, spreads = vectors[:, ::-1][:, :count].T, np.sqrt(np.maximum(variances[::-1][:count], SMALLEST))
        outside, along = _parts(other - center, directions, spreads)
        units = np.array([max(np.quantile(outside, strange), SMALLEST), max(along.max(), SMALLEST)])
        distances = np.maximum(outside / units[0], along / units[1])
        full = max(float(np.quantile(distances, familiar)), SMALLEST)
        limits = [*units, full, max(float(np.quantile(distances, strange)), 1.01 * full)]
        return cls(*(np.asarray(a, np.float32) for a in (center, directions, spreads, limits)))

    def distance(self, features: npt.ArrayLike) -> float:
        """Return how far a sketch's features (F,) are from those of training, about 1 for the farthest of these.

        Infinity where an entry is not finite. DataError where the features have another width.
        """
        row = np.asarray(features, np.float64)
        if row.shape != self.center.shape:
            raise DataError(f"sketch features have shape {row.shape}; this gate needs {self.center.shape}")
        if not np.isfinite(row).all():
            return float("inf")
        outside, along = _parts((row - self.center)[None], self.directions.astype(np.float64), self.spreads)
        return float(max(outside[0] / self.limits[0], along[0] / self.limits[1]))

    def weight(self, features: npt.ArrayLike) -> float:
        """Return how much of edit and prior term holds for a sketch's features (F,): 1 at home, 0 far away."""
        full, none = float(self.limits[2]), float(self.limits[3])
        return min(max((none - self.distance(features)) / (none - full), 0.0), 1.0)

    def to_arrays(self) -> dict[str, Array]:
        """Return center, directions, spreads and limits, float32."""
        return {name: getattr(self, name) for name in _NAMES}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> SketchGate:
        """Read what `to_arrays` wrote; SpecError where arrays are missing or do not fit."""
        missing = set(_NAMES) - arrays.keys()
        if missing:
            raise SpecError(f"a gate lacks the array {min(missing)!r}; wanted {', '.join(_NAMES)}")
        return cls(*(np.asarray(arrays[name], np.float32) for name in _NAMES))


def _parts(shifted: Float64, directions: Float64, spreads: Array | Float64) -> tuple[Float64, Float64]:
    """Return, for rows (N, F), the length of what lies outside the directions, and the spreads' rms along them."""
    along = shifted @ directions.T
    outside = np.linalg.norm(shifted - along @ directions, axis=1)
    return np.asarray(outside), np.sqrt(np.mean((along / spreads) ** 2, axis=1))
