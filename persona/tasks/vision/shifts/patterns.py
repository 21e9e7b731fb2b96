"""Pictures of the image's own size, in [0, 1], that shifts lay over it."""

from __future__ import annotations

import math

import numpy as np

from persona.tasks.vision.shifts.family import Images, Parameters


def ramp(size: tuple[int, int], angle: float) -> Images:
    """From 0 to 1 along a direction (radians)."""
    across = _across(size, angle)
    start, end = float(across.min()), float(across.max())
    return (across - start) / max(end - start, 1e-6)


def bars(size: tuple[int, int], angle: float, cycles: float, phase: float) -> Images:
    """Soft parallel stripes: `cycles` per image width, across a direction (radians)."""
    wave: Images = np.sin(2.0 * math.pi * cycles * _across(size, angle) + phase)
    return 0.5 + 0.5 * wave


def clouds(size: tuple[int, int], parameters: Parameters) -> Images:
    """A smooth field: the mean of one wave per number, each in its own direction and at that number's phase."""
    layers = [
        bars(size, math.pi * at / len(parameters), 0.5 + 0.5 * at, 2.0 * math.pi * phase)
        for at, phase in enumerate(parameters)
    ]
    field: Images = np.mean(layers, axis=0, dtype=np.float32)
    return field


def _across(size: tuple[int, int], angle: float) -> Images:
    """Position along a direction, in image widths."""
    rows: Images = np.arange(size[0], dtype=np.float32)[:, None]
    columns: Images = np.arange(size[1], dtype=np.float32)[None, :]
    return rows * (math.sin(angle) / size[0]) + columns * (math.cos(angle) / size[1])
