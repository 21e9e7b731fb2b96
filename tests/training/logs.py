"""Small logs of events with known answers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from persona.tasks.recommendation.events import EventLog


def log_of(*histories: list[int], n_items: int | None = None) -> EventLog:
    """A log in which user u met the items of the u-th history in that order."""
    users = np.repeat(np.arange(len(histories)), [len(history) for history in histories]).astype(np.int32)
    items = np.asarray([item for history in histories for item in history], np.int32)
    count = int(items.max(initial=0)) if n_items is None else n_items
    names = (tuple(str(number) for number in range(size)) for size in (len(histories), count))
    return EventLog(users, items, None, None, *names)


def cycle(users: int, events: int, items: int, seed: int = 0) -> EventLog:
    """Item i is always followed by i + 1, the last by the first; each user starts somewhere."""
    starts = np.random.default_rng(seed).integers(items, size=users)
    return log_of(*(((start + np.arange(events)) % items + 1).tolist() for start in starts), n_items=items)


def noise(users: int, most: int, items: int, seed: int = 0) -> EventLog:
    """Histories of 1 to `most` events of any items, some met again."""
    rng = np.random.default_rng(seed)
    return log_of(
        *(rng.integers(1, items + 1, rng.integers(1, most + 1)).tolist() for _ in range(users)), n_items=items
    )


def askable(log: EventLog) -> npt.NDArray[np.int64]:
    """All events with another of their user before them."""
    return np.flatnonzero(np.arange(len(log)) > log.offsets[log.users])
