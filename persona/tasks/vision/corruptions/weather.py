"""Corruptions by weather. Source of the kinds: ImageNet-C (ICLR 2019); frost and clouds are drawn, not photographed."""

from __future__ import annotations

import math

import numpy as np

from persona.tasks.vision.corruptions.corruption import Level, pixels
from persona.tasks.vision.corruptions.resampling import convolve, line, smoothed
from persona.tasks.vision.shifts.family import Images

FLAKE = 0.6  # pixels of a side of 32
ICE_OCTAVES = 3


def snow(images: Images, level: Level, rng: np.random.Generator) -> Images:
    """Streaks of flakes over an image that has lost its darks.

    Level: (share of pixels that snow starts on, length of a streak, whiteness). Each image has flakes and a wind of its
    own.
    """
    share, length, white = level
    n, _, height, width = images.shape
    flakes = (rng.random((n, 1, height, width)) < share).astype(np.float32)
    flakes = smoothed(flakes, pixels(images, FLAKE))
    winds: list[float] = rng.uniform(math.pi / 4, 3 * math.pi / 4, len(images)).tolist()
    track = pixels(images, length)
    streaks = np.concatenate([convolve(flakes[i : i + 1], line(track, wind)) for i, wind in enumerate(winds)])
    pale = np.maximum(images, np.float32(0.5) + images * np.float32(0.5))
    fallen: Images = images + np.float32(white) * (pale - images) + np.float32(3.0) * streaks
    return fallen


def frost(images: Images, level: Level, rng: np.random.Generator) -> Images:
    """Ice flowers on the pane: the image fades by one factor and ice is added by another. Level: (kept, ice)."""
    kept, ice = level
    frozen: Images = np.float32(kept) * images + np.float32(ice) * _ice(images, rng)
    return frozen


def fog(images: Images, level: Level, rng: np.random.Generator) -> Images:
    """(x + t c) / (1 + t): a veil with clouds c, of each image's own. Level: (thickness t, decay of the clouds)."""
    thickness, decay = level
    veiled = (images + thickness * _clouds(images, decay, rng)) / (1.0 + thickness)
    return np.asarray(veiled, np.float32)


def brightness(images: Images, level: Level, rng: np.random.Generator) -> Images:
    """The brightest channel goes up by a step and takes the others along: hue and saturation stay. Level: (step,)."""
    value = images.max(axis=1, keepdims=True)
    lifted = np.minimum(value + np.float32(level[0]), np.float32(1.0))
    share: Images = np.ones_like(images)
    np.divide(images, value, out=share, where=value > 0)
    return np.asarray(share * lifted, np.float32)


def contrast(images: Images, level: Level, rng: np.random.Generator) -> Images:
    """Every channel of an image moves towards its own mean. Level: (what is kept of the distance,)."""
    mean = images.mean(axis=(2, 3), keepdims=True)
    flat: Images = mean + (images - mean) * np.float32(level[0])
    return flat


def _clouds(images: Images, decay: float, rng: np.random.Generator) -> Images:
    """Smooth fields (N, 1, H, W) from 0 to 1: white noise whose waves weigh frequency ** -decay."""
    n, _, height, width = images.shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width)[None, :] * width)
    weights = np.where(frequency > 0, np.maximum(frequency, 1.0) ** -decay, 0.0)
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((n, 1, height, width))) * weights, s=(height, width))
    low, high = field.min(axis=(2, 3), keepdims=True), field.max(axis=(2, 3), keepdims=True)
    return np.asarray((field - low) / np.maximum(high - low, 1e-9), np.float32)


def _ice(images: Images, rng: np.random.Generator) -> Images:
    """Sharp bright ridges (N, 1, H, W) from 0 to 1, denser towards one side, as crystals grow from the pane's rim."""
    ridges = np.ones((len(images), 1, *images.shape[2:]), np.float32)
    for octave in range(ICE_OCTAVES):
        ridges *= np.abs(2.0 * _clouds(images, 1.0 + 0.5 * octave, rng) - 1.0)
    ridges = 1.0 - ridges ** np.float32(1.0 / ICE_OCTAVES)
    ice: Images = ridges * (np.float32(0.4) + np.float32(0.6) * _clouds(images, 2.5, rng))
    return ice
