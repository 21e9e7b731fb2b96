"""All shift families by name: to add one, write its function and one line here, or pass your own mapping."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from persona.tasks.vision.shifts.blur import gaussian_blur, motion_blur, pixelate
from persona.tasks.vision.shifts.cover import occlusion, stripes
from persona.tasks.vision.shifts.family import Family
from persona.tasks.vision.shifts.geometry import rotation, scale, shear, wave
from persona.tasks.vision.shifts.light import brightness, contrast, fog, gamma, invert, shade
from persona.tasks.vision.shifts.noise import gaussian_noise, impulse_noise, shot_noise

_ALL = (
    Family("rotation", "geometric", "seen", 1, rotation),
    Family("scale", "geometric", "seen", 1, scale),
    Family("gaussian_noise", "photometric", "seen", 0, gaussian_noise),
    Family("impulse_noise", "photometric", "seen", 0, impulse_noise),
    Family("gaussian_blur", "photometric", "seen", 0, gaussian_blur),
    Family("pixelate", "photometric", "seen", 0, pixelate),
    Family("contrast", "photometric", "seen", 1, contrast),
    Family("brightness", "photometric", "seen", 1, brightness),
    Family("gamma", "photometric", "seen", 1, gamma),
    Family("invert", "photometric", "seen", 0, invert),
    Family("fog", "photometric", "seen", 4, fog),
    Family("occlusion", "photometric", "seen", 3, occlusion),
    Family("shear", "geometric", "held", 2, shear),
    Family("wave", "geometric", "held", 2, wave),
    Family("shot_noise", "photometric", "held", 0, shot_noise),
    Family("motion_blur", "photometric", "held", 1, motion_blur),
    Family("stripes", "photometric", "held", 3, stripes),
    Family("shade", "photometric", "held", 1, shade),
)

FAMILIES: Mapping[str, Family] = MappingProxyType({family.name: family for family in _ALL})
SEEN = tuple(family.name for family in _ALL if family.split == "seen")
HELD = tuple(family.name for family in _ALL if family.split == "held")
