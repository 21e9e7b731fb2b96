"""What every counter answers: a window of items in, a score for every item out."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from persona.errors import DataError
from persona.tasks.recommendation.events import EventLog, Positions
from persona.tasks.recommendation.ranking import Score

Windows = npt.NDArray[np.int32]  # (B, L) items, the latest last, 0 where there is none
Ages = npt.NDArray[np.float32]  # (B, L) seconds since each item was met
Table = npt.NDArray[np.float32]  # (B, I + 1)


class Counter(Protocol):
    """Something fitted on a log that scores all items after a window."""

    def scores(self, windows: Windows, ages: Ages | None = None) -> Table:
        """Scores (B, I + 1), higher is likelier; column 0 means nothing. DataError for an item it does not know."""
        ...


def scored(counter: Counter, log: EventLog, length: int) -> Score:
    """The counter as `ranking.rank_targets` asks it, by positions: with windows of `length`, and ages where known."""

    def score(positions: Positions) -> Table:
        ages = log.ages(positions, length) if log.times is not None else None
        return counter.scores(log.windows(positions, length), ages)

    return score


def checked(windows: Windows, n_items: int) -> Windows:
    """The windows themselves. DataError where they hold an item that is not among `n_items`, or are not (B, L)."""
    if windows.ndim != 2 or windows.dtype.kind not in "iu":
        raise DataError(f"windows are {windows.shape} {windows.dtype}; wanted items (B, L), padded with 0 on the left")
    if windows.size and not (windows.min() >= 0 and windows.max() <= n_items):
        raise DataError(
            f"windows hold items from {windows.min()} to {windows.max()}; wanted 0 for padding or one of the "
            f"{n_items} items of the log it was fitted on"
        )
    return windows
