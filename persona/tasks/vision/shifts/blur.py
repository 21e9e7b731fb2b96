"""Shifts that lose detail. Blur and pixelate work on rows and columns apart, as two small matrix products."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from persona.tasks.vision.shifts.family import Images, Parameters, in_unit_range

LARGEST_SIGMA = 3.0  # pixels
SMALLEST_SIGMA = 1e-3  # pixels: far below what moves anything to a neighbour, far above what overflows
LARGEST_CELL = 7.0  # pixels
LARGEST_TRACK = 14.0  # pixels that the camera moves
TRACK_POINTS = 15
KEPT_MATRICES = 256

Matrix = npt.NDArray[np.float32]


def gaussian_blur(images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
    """Out of focus: a Gaussian of up to three pixels; at the border only what is inside counts."""
    sigma = max(LARGEST_SIGMA * strength, SMALLEST_SIGMA)
    return _on_both_axes(images, _gaussian(images.shape[2], sigma), _gaussian(images.shape[3], sigma))


def pixelate(images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
    """Fewer, larger pixels: cells of any width between one and seven, so strength is continuous."""
    cell = 1.0 + (LARGEST_CELL - 1.0) * strength
    return _on_both_axes(images, _cells(images.shape[2], cell), _cells(images.shape[3], cell))


def motion_blur(images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
    """The camera moved along a straight line, in any direction."""
    height, width = images.shape[2:]
    kernel = _track(LARGEST_TRACK * strength, math.pi * parameters[0])
    reach = len(kernel) // 2
    padded = np.pad(images, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    result = np.zeros_like(images)
    for row, column in np.argwhere(kernel).tolist():
        result += kernel[row, column] * padded[:, :, row : row + height, column : column + width]
    return in_unit_range(result)


def _on_both_axes(images: Images, rows: Matrix, columns: Matrix) -> Images:
    return in_unit_range(rows @ images @ columns.T)


@lru_cache(maxsize=KEPT_MATRICES)
def _gaussian(size: int, sigma: float) -> Matrix:
    distance = np.subtract.outer(np.arange(size), np.arange(size))
    matrix = np.exp(-0.5 * (distance / sigma) ** 2)
    matrix /= matrix.sum(axis=1, keepdims=True)
    return np.asarray(matrix, dtype=np.float32)


@lru_cache(maxsize=KEPT_MATRICES)
def _cells(size: int, cell: float) -> Matrix:
    """Average over cells of `cell` pixels and spread back: a pixel on an edge belongs to both by its overlap."""
    start = np.arange(math.ceil(size / cell))[:, None] * cell
    pixel = np.arange(size)[None, :]
    overlap = np.clip(np.minimum(start + cell, pixel + 1) - np.maximum(start, pixel), 0.0, 1.0)
    return np.asarray(overlap.T @ (overlap / overlap.sum(axis=1, keepdims=True)), dtype=np.float32)


@lru_cache(maxsize=KEPT_MATRICES)
def _track(length: float, angle: float) -> Matrix:
    """A line of `length` pixels through the middle of a small square: its weights add up to one."""
    reach = math.ceil(length / 2)
    kernel = np.zeros((2 * reach + 2, 2 * reach + 2))
    for step in np.linspace(-length / 2, length / 2, TRACK_POINTS):
        row, column = reach + step * math.sin(angle), reach + step * math.cos(angle)
        top, left = math.floor(row), math.floor(column)
        down, right = row - top, column - left
        kernel[top : top + 2, left : left + 2] += np.outer((1 - down, down), (1 - right, right))
    return np.asarray(kernel[:-1, :-1] / kernel[:-1, :-1].sum(), dtype=np.float32)
