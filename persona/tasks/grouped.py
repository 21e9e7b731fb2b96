"""A user's own samples, grouped by device and in the order of time, as episodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from persona.errors import DataError
from persona.tasks.base import Array, EpisodeBatch


@dataclass(frozen=True, eq=False)
class GroupedEpisodes:
    """Draws `tasks` devices at a time, and from each a stretch of `support` samples and the `query` samples after it.

    `devices` maps a name to (samples (T, …), labels (T,)). Raises DataError where devices are absent, too short, or of
    different sample shapes.
    """

    devices: Mapping[str, tuple[Array, Array]]
    tasks: int = 8
    support: int = 32
    query: int = 32

    def __post_init__(self) -> None:
        if not self.devices or min(self.tasks, self.support, self.query) < 1:
            raise DataError(
                f"{len(self.devices)} devices, {self.tasks} at a time, support {self.support}, query {self.query}: "
                "wanted at least one of each"
            )
        needed = self.support + self.query
        shapes = {np.shape(x)[1:] for x, _ in self.devices.values()}
        if len(shapes) > 1:
            raise DataError(f"devices have samples of different shapes {sorted(shapes)}; wanted one shape for all")
        for name, (x, y) in self.devices.items():
            if len(x) != len(y) or len(x) < needed:
                raise DataError(
                    f"device {name!r} has {len(x)} samples and {len(y)} labels; wanted as many of each and at least "
                    f"{needed} (support {self.support} + query {self.query})"
                )

    def sample(self, rng: np.random.Generator) -> EpisodeBatch:
        """Return one batch: support (B, S, …), query (B, Q, …) and their labels."""
        names = list(self.devices)
        chosen = rng.choice(len(names), self.tasks, replace=len(names) < self.tasks)
        stretches = [self._stretch(names[index], rng) for index in chosen]
        x, y = (np.stack(parts) for parts in zip(*stretches, strict=True))
        cut = self.support
        return EpisodeBatch(x[:, :cut], y[:, :cut], x[:, cut:], y[:, cut:])

    def _stretch(self, name: str, rng: np.random.Generator) -> tuple[Array, Array]:
        x, y = self.devices[name]
        length = self.support + self.query
        start = int(rng.integers(len(x) - length + 1))
        return x[start : start + length], y[start : start + length]
