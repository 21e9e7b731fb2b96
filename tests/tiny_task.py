"""A vision task of tiny pictures, cheap enough to train everything that a benchmark wants within seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from persona.tasks.vision import ImageSet, VisionData
from persona.tasks.vision.task import ImageTask

CLASSES, SIDE = 4, 8


def quadrants(per_class: int, seed: int) -> ImageSet:
    """Pictures (N, 1, 8, 8) of which one quarter is bright: the class says which; all are noisy."""
    rng = np.random.default_rng(seed)
    labels = np.arange(per_class * CLASSES, dtype=np.int64) % CLASSES
    images = rng.integers(0, 60, size=(len(labels), 1, SIDE, SIDE))
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 150
    return ImageSet(images.astype(np.uint8), labels)


class TinyTask(ImageTask):
    """64 windows of 8 pictures at a time; what the data folder holds does not matter."""

    def __init__(self, data: Path | None = None) -> None:
        images = VisionData(quadrants(40, 0), quadrants(20, 1), quadrants(20, 2))
        super().__init__(images, larger="cnn-gn", tasks=64, window=8)
