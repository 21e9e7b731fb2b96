"""From one trusted state to the next, by TUF's client workflow: a chain of roots, timestamp, snapshot, targets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from persona.errors import TrustError
from persona.trust.metadata import LIMIT_BYTES, MAX_VERSION, Root, Signed, digest, whole
from persona.trust.release import Release
from persona.trust.state import TrustedState

# One refresh follows so many new roots; a server that goes on for ever is cut off there, and the next one goes on.
MAX_ROTATIONS = 32

# Gives a file of metadata by name, or None where there is none; never more bytes than the limit.
Fetch = Callable[[str, int], bytes | None]


def follow_release(state: TrustedState, fetch: Fetch, now_s: float) -> TrustedState:
    """Return the state after the release that a server offers under the root in force.

    TrustError where any of it does not hold: altered, expired, rolled back, mixed or oversized.
    """
    now_s = max(now_s, state.seen_s)
    state.root.signed.check_fresh(now_s)
    timestamp = _newer("timestamp", _got(fetch, "timestamp.json"), state, state.timestamp, now_s)
    before = state.targets
    if timestamp.version == state.timestamp and before is not None:
        before.check_fresh(now_s)
        return replace(state, seen_s=int(now_s))
    named = _Named.of(timestamp, "snapshot.json")
    data = named.check(_got(fetch, "snapshot.json"))
    snapshot = _newer("snapshot", data, state, state.snapshot, now_s)
    named.check_version(snapshot)
    named = _Named.of(snapshot, "targets.json")
    data = named.check(_got(fetch, "targets.json"))
    targets = _newer("targets", data, state, 0 if before is None else before.version, now_s)
    named.check_version(targets)
    if before is not None and targets.version == before.version and targets.message != before.message:
        raise TrustError(f"release {targets.version} is another than before under the same version; sign it anew")
    Release.of(targets)
    return TrustedState(state.root_data, timestamp.version, snapshot.version, data, int(now_s))


def follow_roots(state: TrustedState, fetch: Fetch) -> Iterator[TrustedState]:
    """Yield the state under every newer root of the chain, to be kept at once, whatever becomes of the release.

    TrustError where one does not hold. Each is signed by a threshold of the keys before it and of its own, and is the
    next version. Where a role's keys change, what the old keys signed, and its versions, are forgotten: so a stolen
    key's version 4294967295 is overcome.
    """
    for _ in range(MAX_ROTATIONS):
        old = state.root
        if old.signed.version == MAX_VERSION:
            break
        name = f"{old.signed.version + 1}.root.json"
        data = fetch(name, LIMIT_BYTES)
        if data is None:
            break
        new = Root.read(data)
        old.check(new.signed)
        if new.signed.version != old.signed.version + 1:
            raise TrustError(f"{name} has version {new.signed.version}; wanted {old.signed.version + 1}")
        state = _under(state, data, old, new)
        yield state


def _under(state: TrustedState, data: bytes, old: Root, new: Root) -> TrustedState:
    def kept(name: str) -> bool:
        return old.roles[name] == new.roles[name]

    return TrustedState(
        data,
        state.timestamp if kept("timestamp") else 0,
        state.snapshot if kept("snapshot") else 0,
        state.targets_data if kept("targets") else b"",
        state.seen_s,
    )


@dataclass(frozen=True)
class _Named:
    """A file as the one before it names it: by version, and by length and hash where those stand there."""

    name: str
    version: int
    length: int | None
    sha256: str | None

    @classmethod
    def of(cls, signed: Signed, name: str) -> _Named:
        meta = signed.body.get("meta")
        entry: Any = meta.get(name) if isinstance(meta, dict) else None
        if not isinstance(entry, dict):
            raise TrustError(f"{signed.kind} metadata does not name {name}; sign it anew")
        length = entry.get("length")
        return cls(
            name,
            whole(entry.get("version"), f"version of {name}", 1, MAX_VERSION),
            None if length is None else whole(length, f"length of {name}", 1, LIMIT_BYTES),
            digest(entry["hashes"], name) if "hashes" in entry else None,
        )

    def check(self, data: bytes) -> bytes:
        """Return the bytes if they are those that were meant."""
        if self.length not in (None, len(data)) or self.sha256 not in (None, hashlib.sha256(data).hexdigest()):
            raise TrustError(f"{self.name} is not the one that was signed for: parts of two releases are mixed")
        return data

    def check_version(self, signed: Signed) -> None:
        if signed.version != self.version:
            raise TrustError(
                f"{self.name} has version {signed.version}, the file before it names {self.version}: "
                "parts of two releases are mixed"
            )


def _got(fetch: Fetch, name: str) -> bytes:
    data = fetch(name, LIMIT_BYTES)
    if data is None:
        raise TrustError(f"the server has no {name}, so nothing that it offers is signed; `persona sign` writes it")
    return data


def _newer(kind: str, data: bytes, state: TrustedState, known: int, now_s: float) -> Signed:
    signed = Signed.read(kind, data)
    state.root.check(signed)
    if signed.version < known:
        raise TrustError(f"{kind} metadata has version {signed.version}, version {known} was seen before: rolled back")
    signed.check_fresh(now_s)
    return signed
