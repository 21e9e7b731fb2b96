"""The vision task: shifted Fashion-MNIST pictures, one new condition a device."""

from __future__ import annotations

from pathlib import Path

from persona.tasks.vision.data import load_images
from persona.tasks.vision.episodes import EpisodeSampler


class VisionTask:
    """What `persona train` asks of a task: episodes to train on and to choose by, and the shape of one sample.

    `data` is a folder with the four IDX files; None takes the shipped subset. DataError where the folder has no data.
    """

    backbone: str = "cnn-bn"
    editable: tuple[str, ...] = ("norm*", "head")
    tasks, window = 6, 32
    # A third of the episodes have a class mix of their own, as devices do.
    skewed_share = 0.3
    # And some devices' data has not shifted at all: an edit must know to leave those alone.
    clean_share = 0.15

    def __init__(self, data: Path | None = None) -> None:
        self.images = load_images(data)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one picture (C, H, W)."""
        return tuple(self.images.train.images.shape[1:])

    def training(self) -> EpisodeSampler:
        """Episodes of training pictures, most of them under seen shifts."""
        images, size = self.images.train, self.window
        return EpisodeSampler(images, "seen", self.tasks, size, size, self.skewed_share, clean=self.clean_share)

    def validation(self) -> EpisodeSampler:
        """Episodes of held-back pictures under seen shifts, all classes alike."""
        return EpisodeSampler(self.images.validation, "seen", self.tasks, self.window, self.window)
