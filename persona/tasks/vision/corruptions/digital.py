"""Corruptions by what pictures are put through. Source of the kinds: ImageNet-C (ICLR 2019)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from persona.tasks.vision.corruptions.corruption import Level, pixels
from persona.tasks.vision.corruptions.resampling import grid_of, sample_at, smoothed
from persona.tasks.vision.shifts.blur import LARGEST_CELL
from persona.tasks.vision.shifts.blur import pixelate as in_cells
from persona.tasks.vision.shifts.family import Images

BLOCK = 8
# ITU-T T.81 (JPEG), annex K.1: quantisation of brightness and of colour at quality 50.
LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
CHROMINANCE = np.full((BLOCK, BLOCK), 99)
CHROMINANCE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
# ITU-T T.871 (JFIF), section 7: RGB to brightness and two colour differences.
TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])

Floats = npt.NDArray[np.float64]


def elastic_transform(images: Images, level: Level, rng: np.random.Generator) -> Images:
    """Rubber: pixels are pushed along a smooth random field, another for each image. Level: (root mean square, σ)."""
    size, sigma = pixels(images, level[0]), pixels(images, level[1])
    noise = rng.standard_normal((len(images), 2, *images.shape[2:]), dtype=np.float32)
    field = smoothed(noise, sigma)
    field *= size / np.maximum(np.sqrt((field**2).mean(axis=(2, 3), keepdims=True)), 1e-9)
    rows, columns = grid_of(images)
    return sample_at(images, rows + field[:, 0], columns + field[:, 1])


def pixelate(images: Images, level: Level, rng: np.random.Generator) -> Images:
    """Fewer, larger pixels. Level: (their side,)."""
    cell = min(max(pixels(images, level[0]), 1.0), LARGEST_CELL)
    return in_cells(images, (cell - 1.0) / (LARGEST_CELL - 1.0), (), rng)


def jpeg_compression(images: Images, level: Level, rng: np.random.Generator) -> Images:
    """What JPEG loses, without its files: colours, cosine transform in blocks, rounding by the tables, and back.

    Level: (quality, 1 to 100), which scales the tables of ITU-T T.81 annex K as is usual: 50 / q below 50, 2 − q / 50
    from there. Colour is not subsampled, which would only lose more.
    """
    quality = level[0]
    factor = 50.0 / quality if quality < 50 else 2.0 - quality / 50.0
    luminance, chrominance = (np.clip(np.round(t * factor), 1, 255) for t in (LUMINANCE, CHROMINANCE))
    values = images.astype(np.float64) * 255.0
    if images.shape[1] != 3:
        return np.asarray((_quantise(values - 128.0, luminance) + 128.0) / 255.0, np.float32)
    ycc = np.einsum("ij,njhw->nihw", TO_YCC, values)
    bright, colour = _quantise(ycc[:, :1] - 128.0, luminance) + 128.0, _quantise(ycc[:, 1:], chrominance)
    rgb = np.einsum("ij,njhw->nihw", np.linalg.inv(TO_YCC), np.concatenate([bright, colour], axis=1))
    return np.asarray(rgb / 255.0, np.float32)


def _quantise(values: Floats, table: Floats) -> Floats:
    """Values (N, C, H, W) after rounding their cosine transform in blocks of 8 x 8 to multiples of a table (8, 8)."""
    n, channels, height, width = values.shape
    padded = np.pad(values, ((0, 0), (0, 0), (0, -height % BLOCK), (0, -width % BLOCK)), mode="edge")
    rows, columns = padded.shape[2] // BLOCK, padded.shape[3] // BLOCK
    blocks = padded.reshape(n, channels, rows, BLOCK, columns, BLOCK).swapaxes(3, 4)
    cosine = _cosine()
    coefficients = np.round(cosine @ blocks @ cosine.T / table) * table
    back = (cosine.T @ coefficients @ cosine).swapaxes(3, 4).reshape(padded.shape)
    return back[:, :, :height, :width]


def _cosine() -> Floats:
    """The orthonormal cosine transform (8, 8) of ITU-T T.81 annex A.3.3: a row is a frequency."""
    frequency, place = np.mgrid[:BLOCK, :BLOCK]
    matrix = np.sqrt(2.0 / BLOCK) * np.cos(np.pi * (2 * place + 1) * frequency / (2 * BLOCK))
    matrix[0] /= np.sqrt(2.0)
    return np.asarray(matrix, np.float64)
