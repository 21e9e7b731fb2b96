"""Targets in chunks: those of a user that are near each other share one reading of the history before them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from persona.adapters.heads.history import History
from persona.errors import TrainingError
from persona.tasks.recommendation.events import Positions
from persona.training.event_features import EventFeatures

SPAN = 16  # events that the targets of a chunk lie within


@dataclass(frozen=True, eq=False)
class Chunk:
    """B rows of up to K targets: `wanted` (B, K) says which places hold one, `events` (T,) which events they are."""

    history: History
    wanted: torch.Tensor
    events: Positions


class Chunks:
    """Cuts sorted positions into chunks, each with up to `reach` events before every target."""

    def __init__(self, features: EventFeatures, positions: Positions, reach: int) -> None:
        if not len(positions):
            raise TrainingError("there is no target to read a history for; give at least one position")
        if (np.diff(positions) <= 0).any():
            raise TrainingError("targets do not rise from one to the next; give each position once, sorted")
        self._features, self._reach = features, reach
        log = features.log
        within = positions - log.offsets[log.users[positions]]
        keys = log.users[positions].astype(np.int64) * (len(log) + 1) + within // SPAN
        new = np.flatnonzero(np.diff(keys, prepend=-1))
        self._starts, self._ends = new, np.append(new[1:], len(positions))
        self._positions = positions
        self._last = positions[self._ends - 1]

    def batches(self, size: int, rng: np.random.Generator | None = None) -> Iterator[Chunk]:
        """Yield every target once, `size` chunks a batch, chunks with histories of a length together."""
        log = self._features.log
        widths = np.minimum(self._last - log.offsets[log.users[self._last]], self._reach)
        order = np.argsort(widths, kind="stable")
        parts = [order[at : at + size] for at in range(0, len(order), size)]
        for at in range(len(parts)) if rng is None else rng.permutation(len(parts)):
            yield self._chunk(parts[at])

    def count(self, size: int) -> int:
        """Return how many batches an epoch has."""
        return -(-len(self._starts) // size)

    def _chunk(self, rows: Positions) -> Chunk:
        features, log = self._features, self._features.log
        counts = self._ends[rows] - self._starts[rows]
        column = np.arange(counts.max())
        wanted = column < counts[:, None]
        places = np.minimum(self._starts[rows][:, None] + column, self._ends[rows][:, None] - 1)
        targets = self._positions[places]  # (B, K)
        last, first = self._last[rows], log.offsets[log.users[self._last[rows]]]
        width = max(1, int(np.minimum(last - first, self._reach + SPAN).max()))
        keys = last[:, None] - np.arange(width, 0, -1)  # (B, N), the event before the last target in the last column
        real = keys >= first[:, None]
        known = np.where(real, keys, 0)
        events, at = torch.from_numpy(known), torch.from_numpy(targets)
        history = History(
            torch.from_numpy(np.where(real, log.items[known], 0).astype(np.int64)),
            features.surprise[events] * torch.from_numpy(real)[..., None],
            torch.from_numpy(targets[:, :, None] - keys[:, None]),
            features.ages(at, events),
        )
        return Chunk(history, torch.from_numpy(wanted), targets[wanted])
