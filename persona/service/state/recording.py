"""What each device was given, and the sums over the codes behind it: many requests in one commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, select, update

from persona.edit import Array
from persona.errors import Overloaded, Unauthenticated
from persona.service.state.database import Database
from persona.service.state.tables import ASSIGNMENTS, DEVICES, STATISTICS

Key = tuple[str, int, int]


@dataclass(frozen=True, eq=False)
class Assignment:
    """A device's request, named by its nonce, and what answered it; `code` (n, d) is the one the device was sent."""

    device: str
    nonce: str
    bundle: str
    bank_version: int
    prototype: int
    code: Array


class Recording:
    """Writes assignments and the statistics of their codes, together or not at all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def commit(self, assignments: Sequence[Assignment]) -> list[Overloaded | Unauthenticated | None]:
        """Return for each None, once it is on disk; Unauthenticated where its request was recorded before.

        Overloaded for all where the database does not take them: none of them is recorded then.
        """
        try:
            new = self._write(assignments)
        except Overloaded as error:
            return [error] * len(assignments)
        outcomes: list[Overloaded | Unauthenticated | None] = []
        for one in assignments:
            known = (one.device, one.nonce) not in new
            new.discard((one.device, one.nonce))
            outcomes.append(Unauthenticated("this very request was answered before; sign a new one") if known else None)
        return outcomes

    def _write(self, assignments: Sequence[Assignment]) -> set[tuple[str, ...]]:
        now_s = self._database.clock()
        names = ("device", "nonce", "bundle", "bank_version", "prototype")
        rows = [{name: getattr(one, name) for name in names} | {"assigned_s": now_s} for one in assignments]
        with self._database.writing() as connection:
            new = self._database.insert_new(connection, ASSIGNMENTS, rows)
            seen = sorted({device for device, _ in new})
            connection.execute(update(DEVICES).where(DEVICES.c.id.in_(seen)).values(seen_s=now_s))
            counted = {(one.device, one.nonce): one for one in reversed(assignments)}
            self._add([counted[key] for key in new], connection)
        return new

    def _add(self, assignments: Sequence[Assignment], connection: Connection) -> None:
        groups: dict[Key, list[Array]] = {}
        for one in assignments:
            groups.setdefault((one.bundle, one.bank_version, one.prototype), []).append(one.code.ravel())
        for key in sorted(groups):  # every replica locks rows in this order
            codes = np.asarray(groups[key], np.float64)
            self._merge(connection, key, codes)

    def _merge(self, connection: Connection, key: Key, codes: npt.NDArray[np.float64]) -> None:
        names = dict(zip(("bundle", "bank_version", "prototype"), key, strict=True))
        empty = {"count": 0, "total": np.zeros(codes.shape[1], "<f8").tobytes(), "squares": 0.0}
        self._database.insert_new(connection, STATISTICS, [names | empty])
        here = [STATISTICS.c[name] == value for name, value in names.items()]
        columns = (STATISTICS.c["count"], STATISTICS.c.total, STATISTICS.c.squares)
        count, total, squares = connection.execute(select(*columns).where(*here).with_for_update()).one()
        summed = np.frombuffer(total, "<f8") + codes.sum(axis=0)
        values = {"count": count + len(codes), "total": summed.tobytes(), "squares": squares + float(np.sum(codes**2))}
        connection.execute(update(STATISTICS).where(*here).values(values))
