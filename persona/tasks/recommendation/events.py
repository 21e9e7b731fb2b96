"""The event log: who met which item, in order. Items are 1..I, and 0 is padding everywhere.

A *query* is the position e of an event: its target is ``items[e]``, its history is what its user did before e.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from persona.errors import DataError
from persona.tasks.recommendation.collecting import Collector, Ids
from persona.tasks.recommendation.ordering import Duplicates, ordered, without_duplicates

PADDING = 0
Positions = npt.NDArray[np.int64]  # (Q,) places of events in a log


@dataclass(frozen=True, eq=False)
class EventLog:
    """N events of U users (0..U-1) with I items (1..I), sorted by user, then by time.

    `times` is None where only the order is known. `texts` has one entry an item, None where an item has no text;
    `vectors` has a row an item and a row of zeros for padding. The events of user u stand at
    ``offsets[u]:offsets[u + 1]``. Raises DataError where the arrays do not fit each other.
    """

    users: npt.NDArray[np.int32]  # (N,)
    items: npt.NDArray[np.int32]  # (N,)
    times: npt.NDArray[np.int64] | None  # (N,) seconds
    ratings: npt.NDArray[np.float32] | None  # (N,)
    user_names: tuple[str, ...]  # (U,)
    item_names: tuple[str, ...]  # (I,): item i is item_names[i - 1]
    texts: tuple[str | None, ...] | None = None  # (I,)
    vectors: npt.NDArray[np.float32] | None = None  # (I + 1, D)
    offsets: npt.NDArray[np.int64] = field(init=False)  # (U + 1,)

    def __post_init__(self) -> None:
        _check_columns(self)
        offsets = np.searchsorted(self.users, np.arange(self.n_users + 1)).astype(np.int64)
        object.__setattr__(self, "offsets", offsets)
        _check_order(self)

    @classmethod
    def of(
        cls,
        users: Ids,
        items: Ids,
        times: Ids | None = None,
        ratings: Ids | None = None,
        *,
        duplicates: Duplicates = "keep",
        seed: int = 0,
    ) -> EventLog:
        """A log of raw columns in any order; ids are text or whole numbers, numbered in sorted order.

        Without times the order given is a user's order. Events of a user at one time are shuffled by `seed`, the same
        way however the rows came. `duplicates` says what becomes of an item that a user meets again: "keep" all, the
        "first" or the "last" event of a user and item, or "refuse". Raises DataError for anything that is not a log.
        """
        collector = Collector()
        collector.add(users, items, times, ratings)
        return cls.of_collected(collector, duplicates=duplicates, seed=seed)

    @classmethod
    def of_collected(cls, collector: Collector, *, duplicates: Duplicates = "keep", seed: int = 0) -> EventLog:
        """A log of what a collector holds, as `of` makes it; the collector is empty afterwards."""
        columns = collector.columns()
        order = ordered(columns, seed)
        order = order[without_duplicates(columns.users[order], columns.items[order], duplicates)]
        return cls(
            columns.users[order],
            columns.items[order] + np.int32(1),
            None if columns.times is None else columns.times[order],
            None if columns.ratings is None else columns.ratings[order],
            columns.user_names,
            columns.item_names,
        )

    @property
    def n_users(self) -> int:
        """How many users U there are, those without events too."""
        return len(self.user_names)

    @property
    def n_items(self) -> int:
        """How many items I there are; scores have I + 1 columns, the first for padding."""
        return len(self.item_names)

    def __len__(self) -> int:
        """Number of events N."""
        return len(self.users)

    def user_of(self, positions: Positions) -> npt.NDArray[np.int32]:
        """The user (Q,) of each position."""
        return self.users[self._checked(positions)]

    def windows(self, positions: Positions, length: int) -> npt.NDArray[np.int32]:
        """The last `length` items before each position, oldest first, padded with 0 on the left: (Q, length)."""
        places, known = self._before(positions, length)
        return np.where(known, self.items[places], np.int32(PADDING))

    def ages(self, positions: Positions, length: int) -> npt.NDArray[np.float32]:
        """How many seconds before the position's event each item of `windows` was met, 0 for padding: (Q, length).

        DataError where the log has no times.
        """
        times = self.needs_times("ages")
        places, known = self._before(positions, length)
        return np.where(known, times[positions][:, None] - times[places], 0).astype(np.float32)

    def needs_times(self, what: str) -> npt.NDArray[np.int64]:
        """The times (N,); DataError, naming `what` needs them, where only the order is known."""
        if self.times is None:
            raise DataError(f"{what} needs times, and this log knows only the order of events; use a split by order")
        return self.times

    def take(self, kept: npt.NDArray[np.bool_]) -> EventLog:
        """The log with only the events where `kept` (N,) is true; users and items keep their numbers."""
        return replace(
            self,
            users=self.users[kept],
            items=self.items[kept],
            times=None if self.times is None else self.times[kept],
            ratings=None if self.ratings is None else self.ratings[kept],
        )

    def ending(self, ends: Positions) -> EventLog:
        """The events of each user u before position ``ends[u]`` (U,), as a split's `fit_until` gives them."""
        if ends.shape != (self.n_users,):
            raise DataError(f"ends have shape {ends.shape}; wanted one position for each of {self.n_users} users")
        return self.take(np.arange(len(self)) < ends[self.users])

    def renumbered(self) -> EventLog:
        """The log without users and items that have no events; the others move up, in the same order."""
        users, user_codes = np.unique(self.users, return_inverse=True)
        items, item_codes = np.unique(self.items, return_inverse=True)
        return replace(
            self,
            users=user_codes.astype(np.int32),
            items=(item_codes + 1).astype(np.int32),
            user_names=tuple(self.user_names[user] for user in users),
            item_names=tuple(self.item_names[item - 1] for item in items),
            texts=None if self.texts is None else tuple(self.texts[item - 1] for item in items),
            vectors=None if self.vectors is None else self.vectors[np.concatenate([[PADDING], items])],
        )

    def with_texts(self, texts: Mapping[str, str]) -> EventLog:
        """The log with the text of each item name; items it lacks, or whose text is blank, have None."""
        return replace(self, texts=tuple(texts.get(name, "").strip() or None for name in self.item_names))

    def with_vectors(self, names: Ids, vectors: npt.NDArray[Any]) -> EventLog:
        """The log with a row of `vectors` (M, D) for each of M item names; items without one have zeros.

        DataError where the two do not fit, or a number is not finite.
        """
        if vectors.ndim != 2 or len(names) != len(vectors) or not np.isfinite(vectors).all():
            raise DataError(f"vectors have shape {vectors.shape} for {len(names)} names; wanted a finite row a name")
        rows = {str(name): row for row, name in enumerate(names)}
        found = np.asarray([rows.get(name, -1) for name in self.item_names], np.int64)
        table = np.zeros((self.n_items + 1, vectors.shape[1]), np.float32)
        table[1:][found >= 0] = vectors[found[found >= 0]]
        return replace(self, vectors=table)

    def numbers_of(self, names: Ids, kind: Literal["user", "item"] = "item") -> npt.NDArray[np.int32]:
        """The numbers of items or users by name. DataError that lists the names that are not in the log."""
        known, first = (self.item_names, 1) if kind == "item" else (self.user_names, 0)
        numbers = {name: number for number, name in enumerate(known, start=first)}
        unknown = [str(name) for name in names if str(name) not in numbers]
        if unknown:
            raise DataError(
                f"{len(unknown)} of {len(names)} {kind}s are not in the log, {', '.join(unknown[:3])!r} among them; "
                f"wanted {kind}s out of its {len(known)}: leave them out, or read a log that has them"
            )
        return np.asarray([numbers[str(name)] for name in names], np.int32)

    def _before(self, positions: Positions, length: int) -> tuple[Positions, npt.NDArray[np.bool_]]:
        """The (Q, length) places before each position, 0 where there is none, and where there is one."""
        if length < 1:
            raise DataError(f"a window of {length} events was asked for; wanted at least 1")
        users = self.user_of(positions)
        places = positions[:, None] + np.arange(-length, 0, dtype=np.int64)
        known = places >= self.offsets[users][:, None]
        return np.where(known, places, 0), known

    def _checked(self, positions: Positions) -> Positions:
        if positions.ndim != 1 or positions.dtype.kind not in "iu":
            raise DataError(f"positions are {positions.shape} {positions.dtype}; wanted a row of whole numbers")
        if len(positions) and not (positions.min() >= 0 and positions.max() < len(self)):
            raise DataError(
                f"positions run from {positions.min()} to {positions.max()}; wanted places among {len(self)} events"
            )
        return positions


def _check_columns(log: EventLog) -> None:
    rows = {"items": log.items, "times": log.times, "ratings": log.ratings}
    for name, column in rows.items():
        if column is not None and column.shape != log.users.shape:
            raise DataError(f"{name} of a log have shape {column.shape}; wanted {log.users.shape}, one for each event")
    if log.users.ndim != 1 or log.users.dtype != np.int32 or log.items.dtype != np.int32:
        raise DataError(
            f"users are {log.users.shape} {log.users.dtype}, items {log.items.dtype}; wanted int32 in a row"
        )
    if log.times is not None and log.times.dtype != np.int64:
        raise DataError(f"times are {log.times.dtype}; wanted int64 seconds")
    if log.texts is not None and len(log.texts) != log.n_items:
        raise DataError(f"the log has {len(log.texts)} texts; wanted one, or None, for each of {log.n_items} items")
    if log.vectors is not None and (log.vectors.ndim != 2 or len(log.vectors) != log.n_items + 1):
        raise DataError(f"item vectors have shape {log.vectors.shape}; wanted ({log.n_items + 1}, D): row 0 is padding")


def _check_order(log: EventLog) -> None:
    if not len(log):
        return
    if log.users[0] < 0 or log.users.max() >= log.n_users or log.items.min() < 1 or log.items.max() > log.n_items:
        raise DataError(
            f"users run to {log.users.max()} and items from {log.items.min()} to {log.items.max()}; wanted users in "
            f"0..{log.n_users - 1} and items in 1..{log.n_items}: an unknown item cannot be in a log"
        )
    same_user = log.users[1:] == log.users[:-1]
    backwards = log.users[1:] < log.users[:-1]
    if log.times is not None:
        backwards |= same_user & (log.times[1:] < log.times[:-1])
    if backwards.any():
        raise DataError(
            f"event {int(backwards.argmax()) + 1} comes before the one in front of it; wanted events sorted by user, "
            "then time: make the log with EventLog.of"
        )
