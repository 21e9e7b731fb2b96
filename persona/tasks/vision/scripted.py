"""Streams that are written down beforehand: which pictures each window shows, and in which domain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from persona.errors import DataError
from persona.tasks.vision.data import ImageSet
from persona.tasks.vision.labels import Indices
from persona.tasks.vision.shifts import Domain
from persona.tasks.vision.streams import StreamShape, Window


@dataclass(frozen=True, eq=False)
class Scene:
    """One window to come: its domain, the number of its segment, and whether that begins with it."""

    domain: Domain
    segment: int = 0
    first: bool = False


@dataclass(frozen=True, eq=False)
class ScriptedStream:
    """One device that meets `scenes` in order; row t of `indices` (T, W) are the pictures of window t.

    Iterating twice gives the same windows twice: all that is random in a domain comes from `seed`.
    Raises DataError where there are no scenes, or not one row of pictures for each.
    """

    images: ImageSet
    indices: Indices
    scenes: tuple[Scene, ...]
    seed: int | tuple[int, ...] = 0

    def __post_init__(self) -> None:
        if not self.scenes or self.indices.ndim != 2 or len(self.indices) != len(self.scenes):
            raise DataError(
                f"stream has {len(self.scenes)} scenes and pictures {self.indices.shape}; wanted at least one scene, "
                f"and a row of pictures for each"
            )

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.scenes)

    def __iter__(self) -> Iterator[Window]:
        rng = np.random.default_rng(self.seed)
        for indices, scene in zip(self.indices, self.scenes, strict=True):
            x = scene.domain.apply(self.images.images[indices], rng)
            yield Window(x, self.images.labels[indices], scene.domain, scene.segment, scene.first)


def check_enough(images: ImageSet, shape: StreamShape, n_devices: int) -> None:
    """Raise DataError where the images do not fill one window, or there is no device to stream them to."""
    if n_devices < 1 or len(images) < shape.window_size:
        raise DataError(
            f"{len(images)} images for {n_devices} devices with windows of {shape.window_size}; wanted at least one "
            f"device, and images for one window: give more images, or make windows smaller"
        )
