"""Worlds with a known answer: what a device's labels mean shows in its support and nowhere else.

A sample is four numbers. A device has an angle; a label says on which side of the line at that angle (x0, x1) lies.
Support samples show the angle, as an offset of (x2, x3); query samples do not, and over all devices their labels are
independent of them. So no unedited model can beat chance on queries, and the right edit makes no mistake.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from persona.adapters import ImageSetEncoder, PersonaAdapter, SketchEncoder
from persona.model import EditableModel
from persona.tasks.base import EpisodeBatch


@dataclass(frozen=True)
class Angles:
    """Devices at `angles` angles, evenly spread over the circle: two are a sign that flips."""

    angles: int = 2
    shape: tuple[int, ...] = (4,)
    tasks: int = 16
    support: int = 24
    query: int = 24

    def sample(self, rng: np.random.Generator) -> EpisodeBatch:
        angle = 2 * np.pi * rng.integers(self.angles, size=self.tasks) / self.angles
        direction = np.stack([np.cos(angle), np.sin(angle)], axis=1)  # (B, 2)
        x = rng.normal(size=(self.tasks, self.support + self.query, 4))
        y = (np.einsum("bnc,bc->bn", x[..., :2], direction) > 0).astype(np.int64)
        cut = self.support
        x[:, :cut, 2:] += 2 * direction[:, None]
        x = x.astype(np.float32).reshape(*x.shape[:2], *self.shape)
        return EpisodeBatch(x[:, :cut], y[:, :cut], x[:, cut:], y[:, cut:])

    def net(self) -> nn.Module:
        """Return a fresh net for these samples, always the same."""
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))

    def model(self, net: nn.Module | None = None) -> EditableModel:
        """Return an editable copy of a net, all of it editable."""
        return EditableModel(net or self.net(), ["*"], torch.zeros(2, *self.shape))

    def adapter(self, model: EditableModel, seed: int = 0) -> PersonaAdapter:
        """Return a fresh adapter that reads the sketch, or the samples where they are pictures."""
        torch.manual_seed(seed)
        pictures = len(self.shape) == 3
        encoder = ImageSetEncoder(self.shape[0], 32) if pictures else SketchEncoder(model.n_features, 32)
        return PersonaAdapter(model.spec, encoder, code=8)


@dataclass(frozen=True)
class Broken:
    """Another world's episodes, of which every query from one batch on holds a NaN."""

    world: Angles
    first: int
    drawn: list[int]

    def sample(self, rng: np.random.Generator) -> EpisodeBatch:
        batch = self.world.sample(rng)
        self.drawn.append(len(batch))
        if len(self.drawn) > self.first:
            for samples in (batch.support, batch.query):
                samples[0, 0] = np.nan
        return batch
