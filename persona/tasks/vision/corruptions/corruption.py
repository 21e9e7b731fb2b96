"""A corruption: a formula, and the five levels of its strength."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from persona.errors import DataError
from persona.tasks.vision.shifts.family import Family, Images, Parameters

SEVERITIES = 5
REFERENCE_SIDE = 32  # pixels: lengths in the levels are for pictures of this side

Level = tuple[float, ...]


class Formula(Protocol):
    """The corruption itself: a plain function."""

    def __call__(self, images: Images, level: Level, rng: np.random.Generator) -> Images:
        """Images (N, C, H, W) in [0, 1] to the same shape and range; every image draws its own from `rng`."""
        ...


@dataclass(frozen=True)
class Corruption:
    """A named formula and its level at each severity, 1 to 5. DataError where there are not five levels."""

    name: str
    formula: Formula
    levels: tuple[Level, ...]

    def __post_init__(self) -> None:
        if len(self.levels) != SEVERITIES:
            raise DataError(f"corruption {self.name!r} has {len(self.levels)} levels; wanted {SEVERITIES}")

    def __call__(self, images: Images, severity: int, rng: np.random.Generator) -> Images:
        """Images (N, C, H, W) float32 in [0, 1] at a severity of 1 to 5: the same shape and range.

        Raises DataError for another severity, and where the images are not such.
        """
        if severity not in range(1, SEVERITIES + 1):
            raise DataError(f"severity of {self.name!r} is {severity}; wanted a whole number from 1 to {SEVERITIES}")
        if images.ndim != 4 or images.dtype != np.float32 or not _in_unit_range(images):
            raise DataError(
                f"images to corrupt have shape {images.shape} and type {images.dtype}; wanted (N, C, H, W) float32, "
                f"all in [0, 1]: divide bytes by 255"
            )
        if not images.size:
            return images.copy()
        found = self.formula(images, self.levels[severity - 1], rng)
        return np.clip(found, 0.0, 1.0).astype(np.float32, copy=False)

    def family(self) -> Family:
        """The corruption as a shift family, never trained on: strength 0.2 is severity 1, strength 1 severity 5."""
        return Family(self.name, "photometric", "held", 0, _AsShift(self))


@dataclass(frozen=True)
class _AsShift:
    corruption: Corruption

    def __call__(self, images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
        return self.corruption(images, max(1, round(SEVERITIES * strength)), rng)


def pixels(images: Images, length: float) -> float:
    """A length given for pictures of 32 pixels a side, in pixels of these images (their shorter side counts)."""
    side: int = min(images.shape[2:])
    return length * side / REFERENCE_SIDE


def _in_unit_range(images: Images) -> bool:
    return not images.size or bool(images.min() >= 0.0 and images.max() <= 1.0)  # false for NaN
