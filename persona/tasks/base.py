"""What every world hands to training: a batch of episodes, and the one method that draws it.

An episode is one device at one time: the samples it has just seen (support) and the samples it meets next (query).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from persona.errors import DataError

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class EpisodeBatch:
    """B episodes of S support and Q query samples; the shape behind the first two axes is the task's own.

    Raises DataError where the four arrays do not fit each other.
    """

    support: Array  # (B, S, ...)
    support_labels: Array  # (B, S)
    query: Array  # (B, Q, ...)
    query_labels: Array  # (B, Q)

    def __post_init__(self) -> None:
        for name, samples, labels in (
            ("support", self.support, self.support_labels),
            ("query", self.query, self.query_labels),
        ):
            if samples.ndim < 2 or labels.shape != samples.shape[:2]:
                raise DataError(
                    f"{name} of an episode batch has shape {samples.shape} and its labels {labels.shape}; wanted "
                    f"(episodes, samples, ...) and (episodes, samples): give every sample exactly one label"
                )
        if len(self.support) != len(self.query):
            raise DataError(
                f"episode batch has {len(self.support)} support rows and {len(self.query)} query rows; wanted as many "
                f"of each: row i of both must come from the same device"
            )

    def __len__(self) -> int:
        """Number of episodes B."""
        return len(self.support)


class Episodes(Protocol):
    """Anything that can draw a batch of episodes, for example from logs grouped by device."""

    def sample(self, rng: np.random.Generator) -> EpisodeBatch:
        """Draw one batch; every random choice comes from `rng`."""
        ...


class Task(Protocol):
    """A world that shifts, as the command line takes it: built with a data folder or None.

    `backbone` is a catalogue name or ``module:callable``, `editable` the patterns of the layers to edit by default.
    """

    backbone: str
    editable: tuple[str, ...]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        ...

    def training(self) -> Episodes:
        """Episodes to train on."""
        ...

    def validation(self) -> Episodes:
        """Episodes of devices that training never saw."""
        ...
