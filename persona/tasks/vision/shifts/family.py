"""A shift family: one continuous way in which the images of a device can differ from the training images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.float32]
Parameters = tuple[float, ...]


class Shift(Protocol):
    """The transformation itself: a plain function."""

    def __call__(self, images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
        """Images (N, C, H, W) in [0, 1] to images of the same shape and range.

        `strength` is in (0, 1] and tends to "no change" at 0. `parameters` are numbers in [0, 1) drawn once per
        domain (a sign, a direction, a place), so every image of the domain is treated alike; only noise per pixel
        comes from `rng`.
        """
        ...


@dataclass(frozen=True)
class Family:
    """A named shift, and where it may be used: `seen` families are trained on, `held` ones never."""

    name: str
    kind: Literal["geometric", "photometric"]
    split: Literal["seen", "held"]
    n_parameters: int
    shift: Shift


def in_unit_range(images: npt.NDArray[np.floating[Any]]) -> Images:
    """Cut off at black and white, as a sensor does."""
    clipped: Images = np.clip(images, np.float32(0), np.float32(1))
    return clipped


def sign_of(parameter: float) -> int:
    """-1 or +1, from a number in [0, 1)."""
    return 1 if parameter >= 0.5 else -1
