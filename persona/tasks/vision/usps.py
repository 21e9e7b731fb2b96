"""USPS digits in the frame of MNIST: a real shift of the same ten classes.

Source of the digits: Hull, "A database for handwritten text recognition research", IEEE PAMI 1994.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from persona.errors import DataError
from persona.tasks.vision.data import ImageSet
from persona.tasks.vision.packed import REPLACE, read_arrays

USPS_SIDE, INNER_SIDE, MNIST_SIDE = 16, 20, 28  # pixels: MNIST fits its digits into the inner 20 of 28


def read_usps(places: Sequence[Path]) -> ImageSet:
    """The test digits (N, 1, 28, 28) of the first of `places` that exists. DataError where none does, or is damaged."""
    for file in places:
        if file.exists():
            arrays = read_arrays(file, ("x_test", "y_test"))
            digits, labels = arrays["x_test"], arrays["y_test"]
            wanted = (len(digits), USPS_SIDE, USPS_SIDE)
            if digits.dtype != np.uint8 or digits.shape != wanted or labels.dtype.kind not in "iu":
                raise DataError(
                    f"data file {file} holds {digits.shape} {digits.dtype}; wanted {wanted} uint8: {REPLACE}"
                )
            return ImageSet(in_frame_of_mnist(digits), labels.astype(np.int64))
    raise DataError(f"USPS digits are in none of {', '.join(map(str, places))}; wanted usps.npz: put it there")


def in_frame_of_mnist(digits: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Digits (N, 16, 16) that fill their frame as (N, 1, 28, 28): bilinear to 20 x 20, and a black margin of 4."""
    stretch = _bilinear(USPS_SIDE, INNER_SIDE)
    inner = np.rint(stretch @ digits.astype(np.float64) @ stretch.T).astype(np.uint8)
    margin = (MNIST_SIDE - INNER_SIDE) // 2
    return np.pad(inner, ((0, 0), (margin, margin), (margin, margin)))[:, None]


def _bilinear(size: int, wanted: int) -> npt.NDArray[np.float64]:
    """The (wanted, size) matrix that samples a row between pixel centres, the border pixel beyond it."""
    place = np.clip((np.arange(wanted) + 0.5) * size / wanted - 0.5, 0, size - 1)
    return np.clip(1.0 - np.abs(place[:, None] - np.arange(size)), 0.0, 1.0)
