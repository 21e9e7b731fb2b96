"""Shifts that move pixels: bilinear resampling about the image's centre, black outside of the picture.

Each family says where an output pixel comes from. The four neighbours and their weights are computed once per domain
and image size and kept, because a device meets the same domain for many windows.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from persona.tasks.vision.shifts.family import Images, Parameters, sign_of

Grid = npt.NDArray[np.float64]
LARGEST_ANGLE_DEGREES = 180.0
LARGEST_ZOOM = 2.0  # twice as large or half as large
LARGEST_SHEAR = 1.2  # pixels sideways per pixel up
LARGEST_WAVE = 0.2  # amplitude as a share of the image's width
KEPT_GRIDS = 256  # about 40 kB each at 28 x 28


class Neighbours(NamedTuple):
    """For each of P output pixels its four source pixels and how much of each it takes."""

    indices: npt.NDArray[np.intp]  # (4, P)
    weights: npt.NDArray[np.float32]  # (4, P, 1)


def rotation(images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
    """Turn by up to half a circle either way: all angles occur."""
    angle = math.radians(sign_of(parameters[0]) * LARGEST_ANGLE_DEGREES * strength)
    cos, sin = math.cos(angle), math.sin(angle)
    return _resample(images, _affine(images.shape[2:], (cos, -sin, sin, cos)))


def scale(images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
    """Zoom in or out by a factor of up to two."""
    factor = LARGEST_ZOOM ** (sign_of(parameters[0]) * strength)
    return _resample(images, _affine(images.shape[2:], (factor, 0.0, 0.0, factor)))


def shear(images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
    """Slant along rows or along columns, either way."""
    slant = sign_of(parameters[0]) * LARGEST_SHEAR * strength
    matrix = (1.0, 0.0, slant, 1.0) if parameters[1] >= 0.5 else (1.0, slant, 0.0, 1.0)
    return _resample(images, _affine(images.shape[2:], matrix))


def wave(images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
    """Push rows sideways by a sine of their height: one to two and a half periods, any phase."""
    cycles, phase = 1.0 + 1.5 * parameters[0], 2.0 * math.pi * parameters[1]
    return _resample(images, _sine(images.shape[2:], LARGEST_WAVE * strength, cycles, phase))


@lru_cache(maxsize=KEPT_GRIDS)
def _affine(size: tuple[int, int], matrix: tuple[float, float, float, float]) -> Neighbours:
    rows, columns = _centred(size)
    a, b, c, d = matrix
    return _neighbours(size, a * rows + b * columns, c * rows + d * columns)


@lru_cache(maxsize=KEPT_GRIDS)
def _sine(size: tuple[int, int], amplitude: float, cycles: float, phase: float) -> Neighbours:
    rows, columns = _centred(size)
    push = amplitude * size[1] * np.sin(2.0 * math.pi * cycles * rows / size[0] + phase)
    return _neighbours(size, rows, columns + push)


def _centred(size: tuple[int, int]) -> tuple[Grid, Grid]:
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float64)
    return rows - (size[0] - 1) / 2, columns - (size[1] - 1) / 2


def _neighbours(size: tuple[int, int], rows: Grid, columns: Grid) -> Neighbours:
    height, width = size
    rows, columns = rows.ravel() + (height - 1) / 2, columns.ravel() + (width - 1) / 2
    top, left = np.floor(rows), np.floor(columns)
    indices, weights = [], []
    for row, row_weight in ((top, 1 - (rows - top)), (top + 1, rows - top)):
        for column, column_weight in ((left, 1 - (columns - left)), (left + 1, columns - left)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            indices.append(np.where(inside, row * width + column, 0).astype(np.intp))
            weights.append(np.where(inside, row_weight * column_weight, 0.0))
    return Neighbours(np.stack(indices), np.stack(weights).astype(np.float32)[..., None])


def _resample(images: Images, neighbours: Neighbours) -> Images:
    n, channels, height, width = images.shape
    pixels = np.ascontiguousarray(images.reshape(n * channels, height * width).T)  # a row is one pixel of all images
    result = np.zeros_like(pixels)
    for indices, weights in zip(neighbours.indices, neighbours.weights, strict=True):
        result += weights * pixels[indices]
    return np.ascontiguousarray(np.minimum(result, 1.0).T).reshape(images.shape)
