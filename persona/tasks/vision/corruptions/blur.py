"""Corruptions that blur. Source of the kinds: ImageNet-C (ICLR 2019); lengths are in pixels of a side of 32."""

from __future__ import annotations

import math

import numpy as np

from persona.tasks.vision.corruptions.corruption import Level, pixels
from persona.tasks.vision.corruptions.resampling import convolve, disc, grid_of, line, sample_at, smoothed
from persona.tasks.vision.shifts.family import Images

ZOOM_STEPS = 8


def defocus_blur(images: Images, level: Level, rng: np.random.Generator) -> Images:
    """Every point becomes a disc. Level: (its radius,)."""
    return convolve(images, disc(pixels(images, level[0])))


def glass_blur(images: Images, level: Level, rng: np.random.Generator) -> Images:
    """Through frosted glass: every pixel is taken from a neighbour within a reach, before and after a soft blur.

    Level: (σ of the blur, reach). ImageNet-C swaps pixels in turn; here each picks its own neighbour, at once.
    """
    sigma, reach = pixels(images, level[0]), pixels(images, level[1])
    rows, columns = grid_of(images)
    moved = rng.uniform(-reach, reach, (2, len(images), *images.shape[2:])).astype(np.float32)
    scattered = sample_at(smoothed(images, sigma), np.rint(rows + moved[0]), np.rint(columns + moved[1]))
    return smoothed(scattered, sigma)


def motion_blur(images: Images, level: Level, rng: np.random.Generator) -> Images:
    """The camera moved along a line, for each image in its own direction. Level: (length,)."""
    length = pixels(images, level[0])
    angles = rng.uniform(0.0, math.pi, len(images)).tolist()
    return np.concatenate([convolve(images[i : i + 1], line(length, angle)) for i, angle in enumerate(angles)])


def zoom_blur(images: Images, level: Level, rng: np.random.Generator) -> Images:
    """The mean of the image at zooms from 1 to a largest one. Level: (the largest zoom,)."""
    rows, columns = grid_of(images)
    middle = ((images.shape[2] - 1) / 2, (images.shape[3] - 1) / 2)
    total = np.zeros_like(images)
    for zoom in np.linspace(1.0, level[0], ZOOM_STEPS).tolist():
        at = (middle[0] + (rows - middle[0]) / zoom, middle[1] + (columns - middle[1]) / zoom)
        total += sample_at(images, *(np.broadcast_to(places, (len(images), *places.shape)) for places in at))
    return total / np.float32(ZOOM_STEPS)
