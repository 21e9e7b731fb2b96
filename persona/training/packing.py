"""Training sequences as windows: every event is a target once, and many targets share the reading of one window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from persona.errors import TrainingError
from persona.tasks.recommendation.events import EventLog, Positions

# Batches whose windows are sorted by width together: little padding, and still a mixture in every batch.
SORTED_TOGETHER = 16


@dataclass(frozen=True, eq=False)
class Batch:
    """B windows of L events and T targets in them.

    `places` (T,) says after which event of the flattened windows (B · L) a target comes; `events` (T,) which event of
    the log it is, and `targets` (T,) which item.
    """

    windows: npt.NDArray[np.int64]  # (B, L)
    places: npt.NDArray[np.int64]
    events: Positions
    targets: npt.NDArray[np.int64]


class Packing:
    """Cuts what each user did into windows of up to `length` events, each with the next `stride` targets at its end.

    A target is preceded in its window by at least ``length - stride`` events, where there are so many.
    `positions` (T,) are the events to be targets; those without an event before them are left out.
    """

    def __init__(self, log: EventLog, positions: Positions, length: int, stride: int) -> None:
        if not 1 <= stride <= length:
            raise TrainingError(f"windows of {length} events have {stride} targets each; wanted 1 to {length}")
        self._log, self._length, self._stride = log, length, stride
        positions = np.unique(positions)
        positions = positions[positions > log.offsets[log.user_of(positions)]]
        if not len(positions):
            raise TrainingError("no event to train on has another of its user before it; give longer histories")
        self._asked = np.zeros(len(log), bool)
        self._asked[positions] = True
        self._asked_before = np.concatenate([[0], np.cumsum(self._asked)])  # (N + 1,)
        self._users, firsts = np.unique(log.users[positions], return_index=True)
        self._first = positions[firsts]
        self._last = positions[np.append(firsts[1:], len(positions)) - 1]
        self.targets = len(positions)

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield every target once, in windows cut at places of this epoch's own, `size` windows a batch."""
        last, after = self._cut(rng)
        order = rng.permutation(len(last))
        parts = [order[at : at + size * SORTED_TOGETHER] for at in range(0, len(order), size * SORTED_TOGETHER)]
        chosen: list[Positions] = []
        for part in parts:
            widths = np.minimum(last[part] - self._log.offsets[self._log.users[last[part]]], self._length)
            by_width = part[np.argsort(widths, kind="stable")]
            chosen.extend(by_width[at : at + size] for at in range(0, len(part), size))
        for at in rng.permutation(len(chosen)):
            yield self._batch(last[chosen[at]], after[chosen[at]])

    def count(self, size: int) -> int:
        """Return about how many batches an epoch has: where the cuts fall moves it a little."""
        windows = ((self._last - self._first) / self._stride + 1).sum()
        return int(np.ceil(windows / size))

    def _cut(self, rng: np.random.Generator) -> tuple[Positions, Positions]:
        """Return the last target (W,) of each window, and the event (W,) after which its targets begin."""
        shift = rng.integers(self._stride, size=len(self._users))
        end = self._last + shift
        pieces = (end - self._first) // self._stride + 1
        number = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        stop = np.repeat(end, pieces) - number * self._stride
        last = np.minimum(stop, np.repeat(self._last, pieces))
        after = np.maximum(stop - self._stride, np.repeat(self._first - 1, pieces))
        some = self._asked_before[last + 1] > self._asked_before[after + 1]
        return last[some], after[some]

    def _batch(self, last: Positions, after: Positions) -> Batch:
        start = self._log.offsets[self._log.users[last]]
        width = int(np.minimum(last - start, self._length).max())
        events = last[:, None] - np.arange(width - 1, -1, -1)  # (B, L): the target after each event of the window
        before = events - 1
        real = before >= start[:, None]
        windows = np.where(real, self._log.items[np.where(real, before, 0)], 0).astype(np.int64)
        asked = (events > after[:, None]) & real
        asked &= self._asked[np.where(asked, events, 0)]
        places = np.flatnonzero(asked.reshape(-1))
        chosen = events.reshape(-1)[places]
        return Batch(windows, places, chosen, self._log.items[chosen].astype(np.int64))


def prefixes(batch: Batch, length: int) -> npt.NDArray[np.int64]:
    """Return the window (T, length) that ends before each target of a batch, for nets that read one at a time."""
    rows, columns = np.divmod(batch.places, batch.windows.shape[1])
    at = columns[:, None] - np.arange(length - 1, -1, -1)
    return np.where(at >= 0, batch.windows[rows[:, None], np.maximum(at, 0)], 0)
