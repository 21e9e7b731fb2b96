"""Signed metadata as TUF 1.0 writes it: an envelope of signatures, and the roles root, timestamp, snapshot, targets.

Our words for them: the *release* keys sign targets and snapshot, the *freshness* keys the timestamp.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from persona.errors import TrustError
from persona.trust.canonical import canonical, parse
from persona.trust.keys import SIGNATURE_BYTES, PublicKey

LIMIT_BYTES = 128 << 10
MAX_SIGNATURES = 32
MAX_VERSION = (1 << 32) - 1
# Our roles → the files that their keys sign.
ROLES = {"root": ("root",), "release": ("targets", "snapshot"), "freshness": ("timestamp",)}
FILES = ("root", "timestamp", "snapshot", "targets")


@dataclass(frozen=True)
class Signed:
    """One file: what it says, the bytes that were signed, and who signed them (key id → signature)."""

    kind: str
    body: Mapping[str, Any]
    message: bytes
    signatures: Mapping[str, bytes]

    @classmethod
    def read(cls, kind: str, data: bytes) -> Signed:
        """Read a file of one kind, without believing it; TrustError where it is none."""
        envelope = parse(data, LIMIT_BYTES, f"{kind} metadata")
        body, found = envelope.get("signed"), envelope.get("signatures")
        if not isinstance(body, dict) or not isinstance(found, list) or envelope.keys() != {"signed", "signatures"}:
            raise TrustError(f"{kind} metadata lacks 'signed' or 'signatures', or has more; sign it anew")
        if body.get("_type") != kind or str(body.get("spec_version")).split(".")[0] != "1":
            raise TrustError(f"this is {body.get('_type')!r:.40} metadata of another kind; wanted {kind!r} of TUF 1")
        if len(found) > MAX_SIGNATURES:
            raise TrustError(f"{kind} metadata has {len(found)} signatures; the limit is {MAX_SIGNATURES}")
        signatures = dict(_signature(kind, entry) for entry in found)
        if len(signatures) < len(found):
            raise TrustError(f"{kind} metadata has two signatures of one key; sign it anew")
        return cls(kind, body, canonical(body), signatures)

    @property
    def version(self) -> int:
        """Its version, from 1; TrustError where it has none."""
        return whole(self.body.get("version"), f"version of {self.kind} metadata", 1, MAX_VERSION)

    @property
    def expires_s(self) -> int:
        """When it expires, in seconds since 1970; TrustError where it does not say."""
        return seconds_of(self.body.get("expires"))

    def check_fresh(self, now_s: float) -> None:
        """Raise TrustError where it has expired."""
        if self.expires_s <= now_s:
            raise TrustError(
                f"{self.kind} metadata of version {self.version} expired on {self.body['expires']}; "
                "the server is frozen, or nobody signs for it: ask who runs it"
            )


@dataclass(frozen=True)
class Root:
    """Whose signatures count for what. `roles` names key ids and how many of them it takes."""

    signed: Signed
    keys: Mapping[str, PublicKey]
    roles: Mapping[str, tuple[frozenset[str], int]]

    @classmethod
    def read(cls, data: bytes) -> Root:
        """Read a root that says of itself that it is one: signed by a threshold of its own keys; TrustError if not."""
        signed = Signed.read("root", data)
        keys, roles = signed.body.get("keys"), signed.body.get("roles")
        if not isinstance(keys, dict) or not isinstance(roles, dict) or roles.keys() != set(FILES):
            raise TrustError(f"root metadata wants 'keys', and 'roles' for {', '.join(FILES)}; sign it anew")
        known = {name: PublicKey.from_json(key) for name, key in keys.items()}
        for name, key in known.items():
            if key.id != name:
                raise TrustError(f"root metadata calls key {key.id[:12]} by the name {name[:12]!r}; sign it anew")
        root = cls(signed, known, {name: _role(name, role, known) for name, role in roles.items()})
        _ = signed.version, signed.expires_s
        root.check(signed)
        return root

    def check(self, signed: Signed) -> None:
        """Raise TrustError unless a threshold of the role's keys signed it."""
        ids, threshold = self.roles[signed.kind]
        good = 0
        for name in ids & signed.signatures.keys():
            good += self.keys[name].signed(signed.signatures[name], signed.message)
        if good < threshold:
            raise TrustError(
                f"{signed.kind} metadata has {good} good signatures of the keys that count; wanted {threshold}: "
                "it was altered, or is not from who you trust"
            )


def whole(value: Any, what: str, low: int, high: int) -> int:
    """Return a whole number within a range; TrustError where the value is none."""
    if type(value) is not int or not low <= value <= high:
        raise TrustError(f"the {what} is {value!r:.40}; wanted a whole number from {low} to {high}")
    return value


def digest(value: Any, what: str) -> str:
    """Return the sha256 of a hashes entry; TrustError where it has none."""
    found = value.get("sha256") if isinstance(value, dict) else None
    if not isinstance(found, str) or not re.fullmatch("[0-9a-f]{64}", found):
        raise TrustError(f"the hashes of {what} have no sha256 of 64 hexadecimal digits")
    return found


def seconds_of(text: Any) -> int:
    """Return seconds since 1970 of a time as TUF writes it; TrustError where it is none."""
    if not isinstance(text, str) or not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text, re.ASCII):
        raise TrustError(f"a time is {text!r:.40}; wanted one like 2030-01-31T12:00:00Z")
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError as error:
        raise TrustError(f"the time {text} does not exist") from error


def text_of(seconds: float) -> str:
    """Return a time as TUF writes it; TrustError where it lies beyond what that can say."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError) as error:
        raise TrustError(f"{seconds:g} seconds after 1970 is no time that metadata can name") from error


def _signature(kind: str, entry: Any) -> tuple[str, bytes]:
    name, text = (entry.get(key) if isinstance(entry, dict) else None for key in ("keyid", "sig"))
    if not isinstance(name, str) or not isinstance(text, str):
        raise TrustError(f"{kind} metadata has a signature without 'keyid' and 'sig'; sign it anew")
    if not re.fullmatch(f"[0-9a-f]{{{2 * SIGNATURE_BYTES}}}", text):
        raise TrustError(f"{kind} metadata has a signature that is not {SIGNATURE_BYTES} bytes in hexadecimal digits")
    return name, bytes.fromhex(text)


def _role(name: str, role: Any, keys: Mapping[str, PublicKey]) -> tuple[frozenset[str], int]:
    ids = role.get("keyids") if isinstance(role, dict) else None
    if not isinstance(ids, list) or not ids or not all(isinstance(i, str) and i in keys for i in ids):
        raise TrustError(f"the role {name!r} of root metadata names keys that it does not have, or none")
    if len(set(ids)) < len(ids):
        raise TrustError(f"the role {name!r} of root metadata names a key twice")
    return frozenset(ids), whole(role.get("threshold"), f"threshold of {name!r}", 1, len(ids))
