"""Training episodes: each task is one new device, with images it has just seen and images it meets next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from persona.errors import DataError
from persona.tasks.base import EpisodeBatch
from persona.tasks.vision.data import ImageSet
from persona.tasks.vision.labels import SKEW_CONCENTRATION, Indices, LabelDraw
from persona.tasks.vision.shifts import FAMILIES, Domain, Family, Images, Split, sample_domain


@dataclass(frozen=True, eq=False)
class EpisodeSampler:
    """Draws `tasks` episodes at a time, each in a new domain of `split`; support and query never share an image.

    `labels` is the share of tasks with a class mix of their own: "iid" is none of them, "skew" all, a number a part.
    `clean` is the share of tasks without any shift.
    Raises DataError where a size is not positive, or the image set is too small for disjoint draws.
    """

    images: ImageSet
    split: Split
    tasks: int
    support: int
    query: int
    labels: Literal["iid", "skew"] | float = "iid"
    families: Mapping[str, Family] = field(default_factory=lambda: FAMILIES)
    clean: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.clean <= 1.0:
            raise DataError(f"the share of clean tasks is {self.clean}; wanted a number in [0, 1]")
        if min(self.tasks, self.support, self.query) < 1 or not 0.0 <= self._skewed_share <= 1.0:
            raise DataError(
                f"episodes of {self.tasks} tasks, {self.support} support and {self.query} query images with labels "
                f"{self.labels!r} cannot be drawn; wanted at least one of each and 'iid', 'skew' or a share in [0, 1]"
            )
        self._check_enough(self._draw, "image set", "the image set")

    def _check_enough(self, draw: LabelDraw, whole: str, owner: str) -> None:
        """Raise DataError where a draw has too few images, told as those of `whole` or of a class of `owner`."""
        size = self.support + self.query
        pools = draw.by_class if self._skewed_share else (draw.everything,)
        smallest = min(len(pool) for pool in pools)
        if smallest < size:
            group = f"smallest class of {owner}" if self._skewed_share else whole
            raise DataError(
                f"{group} has {smallest} images; wanted at least {size} so that support ({self.support}) and query "
                f"({self.query}) stay disjoint: draw fewer, or give more images"
            )

    def sample(self, rng: np.random.Generator) -> EpisodeBatch:
        """One batch: images float32 (tasks, S or Q, C, H, W) in [0, 1], labels int64 (tasks, S or Q)."""
        indices = np.stack([self._indices(rng) for _ in range(self.tasks)])
        shifted = np.stack([self._shifted(task, rng) for task in indices])
        labels = self.images.labels[indices]
        cut = self.support
        return EpisodeBatch(shifted[:, :cut], labels[:, :cut], shifted[:, cut:], labels[:, cut:])

    def _indices(self, rng: np.random.Generator) -> Indices:
        return self._drawn(self._draw, rng)

    def _drawn(self, draw: LabelDraw, rng: np.random.Generator) -> Indices:
        size = self.support + self.query
        if rng.random() < self._skewed_share:
            return draw.skewed(size, SKEW_CONCENTRATION, rng)
        return draw.iid(size, rng)

    def _shifted(self, task: Indices, rng: np.random.Generator) -> Images:
        clean = self.clean > 0 and rng.random() < self.clean
        domain = Domain() if clean else sample_domain(rng, self.split, self.families)
        return domain.apply(self.images.images[task], rng)

    @cached_property
    def _draw(self) -> LabelDraw:
        return LabelDraw.of(self.images.labels)

    @property
    def _skewed_share(self) -> float:
        return {"iid": 0.0, "skew": 1.0}.get(self.labels, -1.0) if isinstance(self.labels, str) else self.labels
