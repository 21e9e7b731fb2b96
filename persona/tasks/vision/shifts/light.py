"""Shifts of brightness and tone: what another lamp, lens or sensor does to every image alike."""

from __future__ import annotations

import math

import numpy as np

from persona.tasks.vision.shifts.family import Images, Parameters, in_unit_range, sign_of
from persona.tasks.vision.shifts.patterns import clouds, ramp

LARGEST_CONTRAST_LOSS = 0.9
LARGEST_BRIGHTNESS = 0.6
LARGEST_GAMMA_OCTAVES = 2.5  # exponent between 2 ** -2.5 and 2 ** 2.5
LARGEST_FOG = 0.8
LARGEST_SHADE = 0.95


def contrast(images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
    """Everything moves towards one shade of grey, which the domain draws."""
    grey, kept = parameters[0], 1.0 - LARGEST_CONTRAST_LOSS * strength
    return grey + (images - grey) * kept


def brightness(images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
    """Lighter or darker by the same amount everywhere, cut off at black and white."""
    return in_unit_range(images + sign_of(parameters[0]) * LARGEST_BRIGHTNESS * strength)


def gamma(images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
    """A bent tone curve: mid-tones up or down, black and white stay."""
    exponent = 2.0 ** (sign_of(parameters[0]) * LARGEST_GAMMA_OCTAVES * strength)
    bent: Images = np.power(images, exponent)
    return bent


def invert(images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
    """Fold the tones at `strength`: darker ones are mirrored, so 1 is the full negative.

    A blend of image and negative would be flat grey half-way; the fold keeps edges at every strength.
    """
    folded: Images = np.abs(images - strength)
    return folded / max(strength, 1.0 - strength)


def fog(images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
    """Bright clouds lie over the image, the same clouds for the whole domain."""
    density = LARGEST_FOG * strength
    return images * (1.0 - density) + density * clouds(images.shape[2:], parameters)


def shade(images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
    """Light from one side: the far side is dark."""
    dark = ramp(images.shape[2:], 2.0 * math.pi * parameters[0])
    return images * (1.0 - LARGEST_SHADE * strength * dark)
