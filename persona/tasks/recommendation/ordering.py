"""The order of a log: by user, then time; ties in time are shuffled by a fixed seed, duplicates kept or dropped."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from persona.errors import DataError
from persona.tasks.recommendation.collecting import Columns

Duplicates = Literal["keep", "first", "last", "refuse"]


def ordered(columns: Columns, seed: int) -> npt.NDArray[np.int64]:
    """The places (N,) of the events in a log's order: without times, each user's events as they came."""
    if columns.times is None:
        return np.argsort(columns.users, kind="stable")
    # By item last, so that the shuffle of ties does not depend on how the rows came.
    order = np.lexsort((columns.items, columns.times, columns.users))
    users, times = columns.users[order], columns.times[order]
    as_before = np.zeros(len(order) + 1, np.bool_)
    as_before[1:-1] = (users[1:] == users[:-1]) & (times[1:] == times[:-1])
    tied = np.flatnonzero(as_before[:-1] | as_before[1:])
    groups = np.cumsum(~as_before[:-1])[tied]
    noise = np.random.default_rng(seed).random(len(tied))
    order[tied] = order[tied][np.lexsort((noise, groups))]
    return order


def without_duplicates(
    users: npt.NDArray[np.int32], items: npt.NDArray[np.int32], policy: Duplicates
) -> npt.NDArray[np.int64]:
    """The places to keep of ordered events, where an item that a user meets again is a duplicate.

    DataError for an unknown policy, or where the policy is "refuse" and there are duplicates.
    """
    if policy not in get_args(Duplicates):
        raise DataError(f"{policy!r} is no policy for duplicates; wanted one of {', '.join(get_args(Duplicates))}")
    if policy == "keep":
        return np.arange(len(users))
    pairs = users.astype(np.int64) * (int(items.max(initial=0)) + 1) + items
    if policy == "last":
        return np.sort(len(pairs) - 1 - np.unique(pairs[::-1], return_index=True)[1])
    first = np.sort(np.unique(pairs, return_index=True)[1])
    if policy == "refuse" and len(first) < len(pairs):
        raise DataError(
            f"{len(pairs) - len(first):,} of {len(pairs):,} events repeat a user and an item; wanted none: keep the "
            "first or the last of each, or keep them all"
        )
    return first
