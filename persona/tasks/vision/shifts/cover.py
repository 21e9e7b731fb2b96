"""Shifts that hide parts of the image: dirt on the lens, a grid in front of it."""

from __future__ import annotations

import math

import numpy as np

from persona.tasks.vision.shifts.family import Images, Parameters
from persona.tasks.vision.shifts.patterns import bars

LARGEST_PATCH = 0.6  # of the image's side
LARGEST_STRIPE = 0.8  # opacity


def occlusion(images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
    """A grey patch in one place; a pixel that it only partly covers is blended."""
    top, left, grey = parameters
    side = LARGEST_PATCH * strength
    cover = np.multiply.outer(_covered(images.shape[2], top, side), _covered(images.shape[3], left, side))
    return images + (grey - images) * cover


def stripes(images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
    """Light bars over the image: two to five of them, in any direction."""
    angle, cycles, phase = math.pi * parameters[0], 2.0 + 3.0 * parameters[1], 2.0 * math.pi * parameters[2]
    opacity = LARGEST_STRIPE * strength * bars(images.shape[2:], angle, cycles, phase)
    return images + (1.0 - images) * opacity


def _covered(size: int, place: float, side: float) -> Images:
    """How much of each of `size` pixels lies inside a stretch of `side`; `place` moves it from end to end."""
    start = place * (1.0 - side) * size
    pixel = np.arange(size)
    overlap = np.minimum(start + side * size, pixel + 1) - np.maximum(start, pixel)
    return np.asarray(np.clip(overlap, 0.0, 1.0), dtype=np.float32)
