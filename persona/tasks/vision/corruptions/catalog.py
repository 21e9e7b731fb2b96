"""All corruptions by name, with the levels of their five severities."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from persona.errors import CatalogError
from persona.tasks.vision.corruptions.blur import defocus_blur, glass_blur, motion_blur, zoom_blur
from persona.tasks.vision.corruptions.corruption import Corruption
from persona.tasks.vision.corruptions.digital import elastic_transform, jpeg_compression, pixelate
from persona.tasks.vision.corruptions.noise import gaussian_noise, impulse_noise, shot_noise
from persona.tasks.vision.corruptions.weather import brightness, contrast, fog, frost, snow
from persona.tasks.vision.shifts.family import Images

_ALL = (
    Corruption("gaussian_noise", gaussian_noise, ((0.06,), (0.1,), (0.15,), (0.2,), (0.28,))),
    Corruption("shot_noise", shot_noise, ((80,), (40,), (20,), (12,), (6,))),
    Corruption("impulse_noise", impulse_noise, ((0.03,), (0.06,), (0.1,), (0.16,), (0.24,))),
    Corruption("defocus_blur", defocus_blur, ((0.8,), (1.2,), (1.6,), (2.1,), (2.7,))),
    Corruption("glass_blur", glass_blur, ((0.3, 0.7), (0.4, 1.2), (0.5, 1.6), (0.6, 2.1), (0.7, 2.7))),
    Corruption("motion_blur", motion_blur, ((3,), (4.5,), (6,), (8,), (10,))),
    Corruption("zoom_blur", zoom_blur, ((1.12,), (1.2,), (1.3,), (1.42,), (1.6,))),
    Corruption("snow", snow, ((0.01, 2, 0.1), (0.015, 3, 0.17), (0.02, 4, 0.25), (0.03, 5, 0.32), (0.04, 6, 0.4))),
    Corruption("frost", frost, ((0.9, 0.2), (0.8, 0.3), (0.7, 0.4), (0.62, 0.47), (0.55, 0.55))),
    Corruption("fog", fog, ((0.3, 2.2), (0.6, 2.1), (1.0, 2.0), (1.5, 1.9), (2.2, 1.8))),
    Corruption("brightness", brightness, ((0.08,), (0.16,), (0.24,), (0.32,), (0.42,))),
    Corruption("contrast", contrast, ((0.7,), (0.5,), (0.36,), (0.25,), (0.15,))),
    Corruption("elastic_transform", elastic_transform, ((0.6, 3), (0.8, 2.8), (1.0, 2.6), (1.25, 2.4), (1.5, 2.2))),
    Corruption("pixelate", pixelate, ((1.5,), (2,), (2.6,), (3.3,), (4.2,))),
    Corruption("jpeg_compression", jpeg_compression, ((50,), (30,), (18,), (11,), (7,))),
)

CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType({corruption.name: corruption for corruption in _ALL})


def corrupt(images: Images, name: str, severity: int, rng: np.random.Generator) -> Images:
    """Images (N, C, H, W) float32 in [0, 1] under a corruption at a severity of 1 to 5: the same shape and range.

    Raises CatalogError for an unknown name, DataError for another severity or other images.
    """
    if name not in CORRUPTIONS:
        raise CatalogError(f"there is no corruption {name!r}; there are {', '.join(CORRUPTIONS)}")
    return CORRUPTIONS[name](images, severity, rng)
