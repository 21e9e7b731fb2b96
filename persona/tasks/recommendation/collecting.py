"""Raw events as they arrive, chunk by chunk: ids become numbers at once, and nothing but numbers is kept.

An event costs 20 bytes while it waits, so a log many times larger than memory as text is read in chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from persona.errors import DataError

MOST_NUMBERS = np.iinfo(np.int32).max - 1  # users or items: both are kept as int32, and item 0 is padding
MOST_EVENTS = 1 << 31  # 60 GB at the 30 bytes an event needs while a log is put in order

Ids = Sequence[Any] | npt.NDArray[Any]


class Numbering:
    """Ids, in the order in which they are first met, and the number each was given: 0, 1, 2, …"""

    def __init__(self, kind: str, most: int = MOST_NUMBERS) -> None:
        self._kind, self._most = kind, most
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def codes(self, ids: Ids) -> npt.NDArray[np.int32]:
        """The numbers (N,) of N ids, new ones where an id is new.

        DataError for ids that are neither text nor whole numbers within int64, or for too many of them.
        """
        plain = _plain_ids(self._kind, ids)
        numbers = self._numbers
        if isinstance(plain, list):
            codes = [numbers.setdefault(name, len(numbers)) for name in plain]
        else:
            distinct, inverse = np.unique(plain, return_inverse=True)
            of_distinct = [numbers.setdefault(str(number), len(numbers)) for number in distinct.tolist()]
            codes = np.asarray(of_distinct, np.int64)[inverse] if of_distinct else []  # type: ignore[assignment]
        if len(numbers) > self._most:
            raise DataError(
                f"the log has more than {self._most:,} different {self._kind} ids, and numbers are int32; "
                "is another column read as ids?"
            )
        return np.asarray(codes, np.int32)

    def in_order(self) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
        """The ids as text, sorted (as numbers where all are whole numbers), and the place (N,) of each number there."""
        known = list(self._numbers)
        try:
            keys: list[Any] = [int(name) for name in known]
            if any(str(key) != name for key, name in zip(keys, known, strict=True)):
                keys = known
        except ValueError:
            keys = known
        order = sorted(range(len(known)), key=keys.__getitem__)
        places = np.empty(len(known), np.int32)
        places[order] = np.arange(len(known), dtype=np.int32)
        return tuple(known[number] for number in order), places


@dataclass(frozen=True, eq=False)
class Columns:
    """N events in the order they came: users and items counted from 0, and the ids those numbers stand for."""

    users: npt.NDArray[np.int32]  # (N,)
    items: npt.NDArray[np.int32]  # (N,)
    times: npt.NDArray[np.int64] | None  # (N,) seconds
    ratings: npt.NDArray[np.float32] | None  # (N,)
    user_names: tuple[str, ...]
    item_names: tuple[str, ...]


@dataclass(eq=False)
class Collector:
    """Takes events chunk by chunk; every chunk has the columns the first one had. More than `most` are refused."""

    most: int = MOST_EVENTS
    _chunks: list[tuple[npt.NDArray[Any], ...]] = field(default_factory=list)
    _users: Numbering = field(default_factory=lambda: Numbering("user"))
    _items: Numbering = field(default_factory=lambda: Numbering("item"))
    _has: tuple[bool, bool] | None = None
    _count: int = 0

    def add(self, users: Ids, items: Ids, times: Ids | None = None, ratings: Ids | None = None) -> None:
        """Take N more events. DataError where a column is not what it should be; the message names the event."""
        lengths = [len(column) for column in (users, items, times, ratings) if column is not None]
        if len(set(lengths)) > 1:
            raise DataError(f"the columns of a log have {lengths} values; wanted as many users, items, times, ratings")
        has = (times is not None, ratings is not None)
        if self._has is not None and has != self._has:
            raise DataError(
                f"after {self._count:,} events the log's columns change (times, ratings: {self._has}, then {has}); "
                "wanted the same columns throughout"
            )
        self._has = has
        first, self._count = self._count, self._count + lengths[0]
        if self._count > self.most:
            raise DataError(
                f"the log has more than {self.most:,} events, the limit; raise the limit, or cut the log by time first"
            )
        self._chunks.append(
            (
                self._users.codes(users),
                self._items.codes(items),
                _seconds(times, first) if times is not None else np.zeros(0, np.int64),
                _finite(ratings, first) if ratings is not None else np.zeros(0, np.float32),
            )
        )

    def columns(self) -> Columns:
        """All events, ids numbered in sorted order; the collector is empty then. DataError where there are none."""
        if not self._count:
            raise DataError("the log has no events; wanted at least one: is the file empty, or filtered away?")
        (user_names, user_places), (item_names, item_places) = self._users.in_order(), self._items.in_order()
        chunks, self._chunks = self._chunks, []
        users, items, times, ratings = (_joined(chunks, column) for column in range(4))
        with_times, with_ratings = self._has or (False, False)
        return Columns(
            user_places[users], item_places[items], times if with_times else None, ratings if with_ratings else None,
            user_names, item_names,
        )  # fmt: skip


def _joined(chunks: list[tuple[npt.NDArray[Any], ...]], column: int) -> npt.NDArray[Any]:
    return np.concatenate([chunk[column] for chunk in chunks])


def _plain_ids(kind: str, ids: Ids) -> list[str] | npt.NDArray[np.int64]:
    array = ids if isinstance(ids, np.ndarray) else np.asarray(ids, dtype=object)
    if array.ndim != 1:
        raise DataError(f"{kind} ids have shape {array.shape}; wanted a row of them")
    if array.dtype.kind in "iu":
        if array.dtype.kind == "u" and len(array) and int(array.max()) > np.iinfo(np.int64).max:
            raise DataError(f"{kind} id {int(array.max())} does not fit int64; give such ids as text")
        return array.astype(np.int64)
    if array.dtype.kind not in "UO":
        raise DataError(f"{kind} ids are {array.dtype}; wanted text or whole numbers")
    plain: list[Any] = array.tolist()
    for name in plain:
        if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
            raise DataError(f"{kind} id {name!r} is neither text nor a whole number; wanted one in every event")
        if isinstance(name, int) and not -(2**63) <= name < 2**63:
            raise DataError(f"{kind} id {name} does not fit int64; give such ids as text")
    return [str(name) for name in plain]


def _numbers(kind: str, column: Ids, first: int) -> npt.NDArray[Any]:
    """Whole numbers as int64, anything else as float64."""
    array = column if isinstance(column, np.ndarray) else np.asarray(column)
    if array.dtype.kind in "iu":
        return array
    if array.dtype.kind not in "fUO":
        raise DataError(f"{kind}s of a log are {array.dtype}; wanted numbers: convert them first")
    for kind_of_number in (np.int64, np.float64):
        if array.dtype.kind == "f" and kind_of_number is np.int64:
            continue
        try:
            return array.astype(kind_of_number)
        except (ValueError, OverflowError, TypeError):
            continue
    wrong = next((place for place, value in enumerate(array.tolist()) if not _is_number(value)), 0)
    raise DataError(f"{kind} of event {first + wrong} is {array[wrong]!r}; wanted a number")


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (ValueError, TypeError, OverflowError):
        return False
    return True


def _seconds(times: Ids, first: int) -> npt.NDArray[np.int64]:
    numbers = _numbers("time", times, first)
    with np.errstate(invalid="ignore"):
        bad = ~((numbers >= 0) & (numbers < 2**63))
    if bad.any():
        place = int(bad.argmax())
        raise DataError(
            f"time of event {first + place} is {numbers[place]}; wanted seconds since 1970, 0 or more and within int64"
        )
    return numbers.astype(np.int64)


def _finite(ratings: Ids, first: int) -> npt.NDArray[np.float32]:
    numbers = _numbers("rating", ratings, first).astype(np.float64)
    bad = ~(np.abs(numbers) <= np.finfo(np.float32).max)
    if bad.any():
        place = int(bad.argmax())
        raise DataError(f"rating of event {first + place} is {numbers[place]}; wanted a finite number")
    return numbers.astype(np.float32)
