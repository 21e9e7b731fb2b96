"""Vision tasks: shifted pictures, one new condition a device; each data set is a variant of one of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from persona.tasks.vision.data import VisionData, load_images
from persona.tasks.vision.episodes import EpisodeSampler


@dataclass(eq=False)
class ImageTask:
    """What training asks of a task: episodes to train on and to choose by, and the shape of one sample.

    `backbone` and `larger` (a net that could teach it) are catalogue names, `editable` the patterns of the layers to
    edit; `tasks` episodes at a time, windows of `window` pictures.
    """

    images: VisionData
    backbone: str = "cnn-bn"
    editable: tuple[str, ...] = ("norm*", "head")
    larger: str = "resnet-8"
    tasks: int = 6
    window: int = 32
    # A third of the episodes have a class mix of their own, as devices do.
    skewed_share: float = 0.3
    # And some devices' data has not shifted at all: an edit must know to leave those alone.
    clean_share: float = 0.15

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one picture (C, H, W)."""
        return tuple(self.images.train.images.shape[1:])

    @property
    def classes(self) -> int:
        """How many classes the training pictures have."""
        return int(self.images.train.labels.max()) + 1

    def training(self) -> EpisodeSampler:
        """Episodes of training pictures, most of them under seen shifts."""
        images, size = self.images.train, self.window
        return EpisodeSampler(images, "seen", self.tasks, size, size, self.skewed_share, clean=self.clean_share)

    def validation(self) -> EpisodeSampler:
        """Episodes of held-back pictures under seen shifts, all classes alike."""
        return EpisodeSampler(self.images.validation, "seen", self.tasks, self.window, self.window)


class VisionTask(ImageTask):
    """Fashion-MNIST, as `persona train` takes it by default.

    `data` is a folder with the four IDX files; None takes the shipped subset. DataError where the folder has no data.
    """

    def __init__(self, data: Path | None = None) -> None:
        super().__init__(load_images(data))
