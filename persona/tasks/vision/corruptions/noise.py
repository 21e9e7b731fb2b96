"""Corruptions that add noise to every pixel and channel apart. Source of the kinds: ImageNet-C (ICLR 2019)."""

from __future__ import annotations

import numpy as np

from persona.tasks.vision.corruptions.corruption import Level
from persona.tasks.vision.shifts.family import Images


def gaussian_noise(images: Images, level: Level, rng: np.random.Generator) -> Images:
    """x + σ n, n standard normal. Level: (σ,), where white is 1."""
    return images + np.float32(level[0]) * rng.standard_normal(images.shape, dtype=np.float32)


def shot_noise(images: Images, level: Level, rng: np.random.Generator) -> Images:
    """Poisson(λ x) / λ: as many photons as arrive. Level: (λ,), the photons of a white pixel."""
    return (rng.poisson(images * level[0]) / level[0]).astype(np.float32)


def impulse_noise(images: Images, level: Level, rng: np.random.Generator) -> Images:
    """A share p of the pixels is lost, half to white and half to black. Level: (p,)."""
    chance = rng.random(images.shape, dtype=np.float32)
    salted = np.where(chance < level[0] / 2, np.float32(1.0), images)
    return np.where(chance > 1.0 - level[0] / 2, np.float32(0.0), salted)
