"""Shifts that add noise: drawn anew for every pixel and every call."""

from __future__ import annotations

import numpy as np

from persona.tasks.vision.shifts.family import Images, Parameters, in_unit_range

LARGEST_GAUSSIAN = 0.5  # standard deviation, where white is 1
LARGEST_SHOT = 0.8  # standard deviation at a white pixel
LARGEST_IMPULSE = 0.4  # share of pixels lost


def gaussian_noise(images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
    """Sensor noise: the same spread at every pixel."""
    noise = rng.standard_normal(images.shape, dtype=np.float32)
    return in_unit_range(images + LARGEST_GAUSSIAN * strength * noise)


def shot_noise(images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
    """Photon noise: variance in proportion to brightness (the normal approximation of a Poisson count)."""
    noise = rng.standard_normal(images.shape, dtype=np.float32)
    return in_unit_range(images + LARGEST_SHOT * strength * np.sqrt(images) * noise)


def impulse_noise(images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
    """Salt and pepper: a share of the pixels is lost, half of them to white, half to black."""
    chance = rng.random(images.shape, dtype=np.float32)
    lost = LARGEST_IMPULSE * strength
    salted = np.where(chance < lost / 2, np.float32(1.0), images)
    return np.where(chance > 1 - lost / 2, np.float32(0.0), salted)
