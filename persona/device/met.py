"""What a device remembers of one user: the last events, and every item ever met."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from persona.device.ranking import Items
from persona.errors import DataError
from persona.ranking import AGE_LIMIT_S

_TIME_LIMIT_S = 1 << 62


class Met:
    """The last `limit` events, oldest first, and the set of items met. Not for use by several threads at once."""

    def __init__(self, limit: int) -> None:
        self._events: deque[tuple[int, int]] = deque(maxlen=limit)
        self._items: set[int] = set()

    def __len__(self) -> int:
        """Events remembered."""
        return len(self._events)

    def add(self, item: int, time_s: int) -> None:
        """Remember an event at a time in whole seconds; DataError where the time is none.

        Events count in the order in which they come: a clock that was set back changes no order, only ages.
        """
        if not 0 <= time_s < _TIME_LIMIT_S:
            raise DataError(f"an event is at {time_s} s; wanted whole seconds from 0 up")
        self._events.append((item, time_s))
        self._items.add(item)

    def history(self) -> Items:
        """Return the items of the events (S,), oldest first."""
        return np.asarray([item for item, _ in self._events], np.int64)

    def seen(self) -> Items:
        """Return every item met, once."""
        return np.fromiter(self._items, np.int64, len(self._items))

    def last_s(self) -> int:
        """Return the time of the last event; 0 before the first."""
        return self._events[-1][1] if self._events else 0

    def events(self, known: int, now_s: int) -> npt.NDArray[np.int32]:
        """Return (item, age in seconds) of the events (S, 2) whose items are at most `known`, as a request has them."""
        rows = [(item, min(max(now_s - time_s, 0), AGE_LIMIT_S)) for item, time_s in self._events if item <= known]
        return np.asarray(rows, np.int32).reshape(-1, 2)
