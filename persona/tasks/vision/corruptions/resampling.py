"""Reading pictures between and beside their pixels, each at places of its own; outside, the border goes on."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from persona.tasks.vision.shifts.family import Images

Places = npt.NDArray[np.float32]


def sample_at(images: Images, rows: Places, columns: Places) -> Images:
    """Images (N, C, H, W) at places (N, H, W) in pixels, bilinear; beyond the border the border's own pixels."""
    height, width = images.shape[2:]
    rows = np.minimum(np.maximum(rows, np.float32(0)), np.float32(height - 1))
    columns = np.minimum(np.maximum(columns, np.float32(0)), np.float32(width - 1))
    top, left = np.floor(rows).astype(np.intp), np.floor(columns).astype(np.intp)
    below, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down, across = (rows - top)[:, None].astype(np.float32), (columns - left)[:, None].astype(np.float32)
    upper = _at(images, top, left) * (1 - across) + _at(images, top, right) * across
    lower = _at(images, below, left) * (1 - across) + _at(images, below, right) * across
    return np.asarray(upper * (1 - down) + lower * down, np.float32)


def grid_of(images: Images) -> tuple[Places, Places]:
    """The places of the images' own pixels: rows (H, W) and columns (H, W)."""
    rows, columns = np.mgrid[: images.shape[2], : images.shape[3]].astype(np.float32)
    return rows, columns


def convolve(images: Images, kernel: Images) -> Images:
    """Images (N, C, H, W) under one odd kernel (K, K), the border repeated outwards: the same shape."""
    height, width = images.shape[2:]
    reach = len(kernel) // 2
    padded = np.pad(images, ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="edge")
    result = np.zeros_like(images)
    for row, column in np.argwhere(kernel).tolist():
        result += kernel[row, column] * padded[:, :, row : row + height, column : column + width]
    return result


def disc(radius: float) -> Images:
    """A kernel, weights adding up to 1, of a disc of `radius` pixels whose rim is one pixel soft."""
    reach = math.ceil(radius)
    away = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1])
    kernel = np.clip(radius + 0.5 - away, 0.0, 1.0)
    return np.asarray(kernel / kernel.sum(), np.float32)


def line(length: float, angle: float) -> Images:
    """A kernel, weights adding up to 1, of a straight line through its middle: `length` pixels, `angle` radians."""
    reach = math.ceil(length / 2)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    for step in np.linspace(-length / 2, length / 2, 4 * reach + 1):
        row, column = step * math.sin(angle), step * math.cos(angle)
        near = np.maximum(0.0, 1.0 - np.abs(np.arange(-reach, reach + 1) - row))
        kernel += np.outer(near, np.maximum(0.0, 1.0 - np.abs(np.arange(-reach, reach + 1) - column)))
    return np.asarray(kernel / kernel.sum(), np.float32)


def smoothed(images: Images, sigma: float) -> Images:
    """Images (N, C, H, W) under a Gaussian of `sigma` pixels, rows and columns apart; at the border what is inside."""
    height, width = images.shape[2:]
    return np.asarray(_gaussian(height, sigma) @ images @ _gaussian(width, sigma).T, np.float32)


def _gaussian(size: int, sigma: float) -> Images:
    distance = np.subtract.outer(np.arange(size), np.arange(size))
    matrix = np.exp(-0.5 * (distance / max(sigma, 1e-3)) ** 2)
    return np.asarray(matrix / matrix.sum(axis=1, keepdims=True), np.float32)


def _at(images: Images, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> Images:
    """The pixels (N, C, H, W) at whole places (N, H, W)."""
    n, channels, height, width = images.shape
    flat = (rows * width + columns).reshape(n, 1, height * width)
    return np.take_along_axis(images.reshape(n, channels, -1), flat, axis=2).reshape(images.shape)
