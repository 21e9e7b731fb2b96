"""The other side: who holds the keys writes root, release and freshness, each under the next version."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona.bundle import DEVICE_FILE, Bundle, read_file
from persona.errors import TrustError
from persona.files import write_together, write_whole
from persona.trust.canonical import canonical
from persona.trust.keys import PublicKey, SigningKey
from persona.trust.metadata import LIMIT_BYTES, ROLES, Root, Signed, text_of
from persona.trust.release import MAX_REPLY_KEYS, Release

TRUST_FOLDER = "trust"  # beside the bundle that it is about
DAY_S = 86_400
_SPEC_VERSION = "1.0.31"
Holders = Mapping[str, tuple[Sequence[PublicKey], int]]


@dataclass(frozen=True)
class Terms:
    """For how long signatures count, in seconds from now: of a release, of freshness, and of reply keys."""

    release_s: float = 90 * DAY_S
    freshness_s: float = 7 * DAY_S
    reply_s: float = 30 * DAY_S


def signed_file(body: Mapping[str, Any], keys: Iterable[SigningKey]) -> bytes:
    """Return metadata as a file, signed by every key."""
    message = canonical(dict(body))
    signatures = [{"keyid": key.public.id, "sig": key.sign(message).hex()} for key in keys]
    # A file is plain JSON: canonical JSON leaves control characters as they are, which no JSON reader takes.
    return json.dumps({"signatures": signatures, "signed": dict(body)}, sort_keys=True, separators=(",", ":")).encode()


def root_file(version: int, expires_s: float, holders: Holders, keys: Iterable[SigningKey]) -> bytes:
    """Return a root: who holds which of our roles, and how many of them it takes; TrustError where it does not hold.

    `keys` sign it: a threshold of its own root keys, and of the root's before it, where there is one.
    """
    if holders.keys() != ROLES.keys():
        raise TrustError(f"a root names holders of {sorted(holders)}; wanted {', '.join(ROLES)}")
    known = {key.id: key.to_json() for members, _ in holders.values() for key in members}
    roles = {
        name: {"keyids": [key.id for key in holders[role][0]], "threshold": holders[role][1]}
        for role, names in ROLES.items()
        for name in names
    }
    body = _body("root", version, expires_s) | {"consistent_snapshot": False, "keys": known, "roles": roles}
    data = signed_file(body, keys)
    Root.read(data)
    return data


def newest_root(folder: Path) -> bytes:
    """Return the newest root of a folder of metadata; TrustError where there is none."""
    versions = _root_versions(folder)
    if not versions:
        raise TrustError(f"{folder} has no root metadata; `persona keys root` writes it")
    return read_metadata(folder, f"{max(versions)}.root.json")


def read_metadata(folder: Path, name: str, limit_bytes: int = LIMIT_BYTES) -> bytes:
    """Return a file of metadata; TrustError where it is not there, or too large to be one."""
    try:
        with (folder / name).open("rb") as file:
            data = file.read(limit_bytes + 1)
    except OSError as error:
        raise TrustError(f"{folder / name} cannot be read: {error.strerror}") from error
    if len(data) > limit_bytes:
        raise TrustError(f"{folder / name} has more than {limit_bytes:,} bytes, so it is no metadata")
    return data


def add_root(folder: Path, data: bytes) -> Root:
    """Write a root to a folder of metadata, as the next of its chain; TrustError where it is not that."""
    new = Root.read(data)
    if _root_versions(folder):
        old = Root.read(newest_root(folder))
        old.check(new.signed)
        if new.signed.version != old.signed.version + 1:
            raise TrustError(f"a new root has version {new.signed.version}; wanted {old.signed.version + 1}")
    write_whole(folder / f"{new.signed.version}.root.json", data)
    return new


def published(folder: Path) -> Release:
    """Return what lies signed beside a bundle, unverified: to see what is offered; TrustError where nothing is."""
    return Release.of(Signed.read("targets", read_metadata(folder / TRUST_FOLDER, "targets.json")))


@dataclass(frozen=True)
class Signers:
    """The keys that sign a release: `release` and `freshness` private, `reply` public, the newest first."""

    release: Sequence[SigningKey]
    freshness: Sequence[SigningKey]
    reply: Sequence[PublicKey] = ()


def sign_release(folder: Path, signers: Signers, now_s: float, terms: Terms = Terms()) -> Release:
    """Sign the bundle in a folder with a root in its ``trust/``, and return the release.

    TrustError where the keys do not make a threshold of that root; BundleError where there is no bundle. The
    timestamp is renamed last: a device that comes in between finds two releases mixed, refuses, and asks again.
    """
    if len(signers.reply) > MAX_REPLY_KEYS:
        raise TrustError(f"a release has {len(signers.reply)} reply keys; the limit is {MAX_REPLY_KEYS}")
    trust = folder / TRUST_FOLDER
    root = Root.read(newest_root(trust))
    data = read_file(folder / DEVICE_FILE)
    bundle = Bundle.from_bytes(data)
    reply_expires = text_of(now_s + terms.reply_s)
    facts = {
        "fingerprint": bundle.fingerprint,
        "bank_version": bundle.bank.version,
        "reply_keys": [{"key": key.to_json(), "expires": reply_expires} for key in signers.reply],
    }
    target = {**_described(data), "custom": {"persona": facts}}
    body = _body("targets", _next(trust, "targets"), now_s + terms.release_s)
    targets = signed_file({**body, "targets": {DEVICE_FILE: target}}, signers.release)
    version = {"version": body["version"]}
    body = _body("snapshot", _next(trust, "snapshot"), now_s + terms.release_s)
    snapshot = signed_file({**body, "meta": {"targets.json": {**version, **_described(targets)}}}, signers.release)
    timestamp = _timestamp(trust, snapshot, signers.freshness, now_s + terms.freshness_s)
    files = {"targets": targets, "snapshot": snapshot, "timestamp": timestamp}
    signed = {kind: Signed.read(kind, content) for kind, content in files.items()}
    for one in signed.values():
        root.check(one)
    release = Release.of(signed["targets"])
    write_together({trust / f"{kind}.json": content for kind, content in files.items()})
    return release


def sign_freshness(folder: Path, keys: Sequence[SigningKey], now_s: float, terms: Terms = Terms()) -> Signed:
    """Say again that the release in a bundle's folder is the newest; return the new timestamp. TrustError as above."""
    trust = folder / TRUST_FOLDER
    snapshot = read_metadata(trust, "snapshot.json")
    data = _timestamp(trust, snapshot, keys, now_s + terms.freshness_s)
    signed = Signed.read("timestamp", data)
    Root.read(newest_root(trust)).check(signed)
    write_whole(trust / "timestamp.json", data)
    return signed


def _root_versions(folder: Path) -> list[int]:
    found = (re.fullmatch(r"([1-9][0-9]*)\.root\.json", path.name) for path in folder.glob("*.root.json"))
    return [int(name[1]) for name in found if name]


def _timestamp(trust: Path, snapshot: bytes, keys: Sequence[SigningKey], expires_s: float) -> bytes:
    version = {"version": Signed.read("snapshot", snapshot).version}
    body = _body("timestamp", _next(trust, "timestamp"), expires_s)
    return signed_file({**body, "meta": {"snapshot.json": {**version, **_described(snapshot)}}}, keys)


def _next(trust: Path, kind: str) -> int:
    """Return the version after the one that lies there."""
    if not (trust / f"{kind}.json").exists():
        return 1
    return Signed.read(kind, read_metadata(trust, f"{kind}.json")).version + 1


def _body(kind: str, version: int, expires_s: float) -> dict[str, Any]:
    return {"_type": kind, "spec_version": _SPEC_VERSION, "version": version, "expires": text_of(expires_s)}


def _described(data: bytes) -> dict[str, Any]:
    return {"length": len(data), "hashes": {"sha256": hashlib.sha256(data).hexdigest()}}
