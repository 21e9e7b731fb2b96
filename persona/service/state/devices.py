"""Who may ask: one-time tokens, enrolled keys, revocation. Every step is in the audit trail."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from persona.errors import EnrolmentRefused, ServiceError
from persona.service.state.database import Database
from persona.service.state.tables import AUDIT, DEVICES, TOKENS
from persona.trust import PublicKey

_TOKEN_BYTES = 32


@dataclass(frozen=True)
class Device:
    """An enrolled device; times in seconds since 1970, None for never."""

    public: PublicKey
    group: str
    enrolled_s: float
    revoked_s: float | None
    seen_s: float | None


class Devices:
    """The enrolled devices of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def new_token(self, group: str, valid_s: float, who: str) -> str:
        """Return a token that enrols one device into a group. It is shown once: its hash alone is kept."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        now_s = self._database.clock()
        row = {"hash": _hash(token), "device_group": group, "expires_s": now_s + valid_s}
        with self._database.writing() as connection:
            connection.execute(insert(TOKENS).values(row))
            _note(connection, now_s, (who, "token made", _hash(token)[:12]))
        return token

    def enrol(self, token: str, key: PublicKey) -> Device:
        """Enrol a key by a token and return its device; the same token and key again change nothing.

        EnrolmentRefused where the token is unknown, used or expired, or the key was revoked.
        """
        now_s, hashed = self._database.clock(), _hash(token)
        with self._database.writing() as connection:
            free = (TOKENS.c.hash == hashed) & TOKENS.c.used_by.is_(None) & (TOKENS.c.expires_s >= now_s)
            taken = connection.execute(update(TOKENS).where(free).values(used_by=key.id)).rowcount
            found = connection.execute(select(TOKENS).where(TOKENS.c.hash == hashed)).one_or_none()
            if found is None or found.used_by != key.id:
                raise EnrolmentRefused("the token is unknown, used or expired; ask the operator for a new one")
            row = {"id": key.id, "public": key.value, "device_group": found.device_group, "enrolled_s": now_s}
            new = self._database.insert_new(connection, DEVICES, [row])
            if taken:
                _note(connection, now_s, (key.id, "enrolled" if new else "token used again", hashed[:12]))
            device = _found(connection, [key.id])[key.id]
        if device.revoked_s is not None:
            raise EnrolmentRefused(f"device {key.id[:12]} was revoked; enrol it under a new key")
        return device

    def find(self, ids: Sequence[str]) -> dict[str, Device]:
        """Return those of the named devices that are enrolled, revoked or not."""
        with self._database.reading() as connection:
            return _found(connection, ids)

    def listed(self, limit: int) -> list[Device]:
        """Return devices, the newest first."""
        with self._database.reading() as connection:
            rows = connection.execute(select(DEVICES).order_by(DEVICES.c.enrolled_s.desc()).limit(limit))
            return [_device(row) for row in rows]

    def revoke(self, id_: str, who: str) -> None:
        """Refuse a device from now on; ServiceError where none is enrolled under that id. Twice is as once."""
        now_s = self._database.clock()
        with self._database.writing() as connection:
            there = (DEVICES.c.id == id_) & DEVICES.c.revoked_s.is_(None)
            if connection.execute(update(DEVICES).where(there).values(revoked_s=now_s)).rowcount:
                _note(connection, now_s, (who, "revoked", id_))
            elif not _found(connection, [id_]):
                raise ServiceError(f"no device {id_[:12]} is enrolled; `persona devices list` shows who is")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _note(connection: Connection, at_s: float, fact: tuple[str, str, str]) -> None:
    who, what, subject = fact
    connection.execute(insert(AUDIT).values(at_s=at_s, who=who, what=what, subject=subject))


def _found(connection: Connection, ids: Sequence[str]) -> dict[str, Device]:
    rows = connection.execute(select(DEVICES).where(DEVICES.c.id.in_(ids)))
    return {row.id: _device(row) for row in rows}


def _device(row: Row[Any]) -> Device:
    return Device(PublicKey(row.public), row.device_group, row.enrolled_s, row.revoked_s, row.seen_s)
