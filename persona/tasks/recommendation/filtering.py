"""What is left out of a log before it is split: low ratings, and users and items with few events."""

from __future__ import annotations

import numpy as np

from persona.errors import DataError
from persona.tasks.recommendation.events import EventLog


def at_least(log: EventLog, rating: float) -> EventLog:
    """The events rated `rating` or more, renumbered. DataError without ratings, or where nothing is left."""
    if log.ratings is None:
        raise DataError(f"a least rating of {rating} was asked for, and this log has no ratings; leave it out")
    return _left(log.take(log.ratings >= rating), f"a rating of at least {rating}")


def k_core(log: EventLog, users: int = 5, items: int = 5) -> EventLog:
    """The largest part of a log in which every user has `users` events and every item `items`, renumbered.

    Found by dropping what has fewer until nothing has. DataError where nothing is left.
    """
    kept = np.ones(len(log), np.bool_)
    while True:
        of_user = np.bincount(log.users[kept], minlength=log.n_users)
        of_item = np.bincount(log.items[kept], minlength=log.n_items + 1)
        still = kept & (of_user[log.users] >= users) & (of_item[log.items] >= items)
        if still.sum() == kept.sum():
            return _left(log.take(kept), f"a core of {users} events a user and {items} an item")
        kept = still


def _left(log: EventLog, what: str) -> EventLog:
    if not len(log):
        raise DataError(f"{what} leaves none of the log's events; ask for less")
    return log.renumbered()
