"""A bundle's owner with known keys, and every tool to sign what is true, stale, mixed or a lie."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from persona.bundle import Bundle, write_export
from persona.trust import PublicKey, SigningKey, Trust, TrustedState
from persona.trust.publish import (
    DAY_S,
    TRUST_FOLDER,
    Signers,
    Terms,
    add_root,
    read_metadata,
    root_file,
    sign_freshness,
    sign_release,
    signed_file,
)

NOW_S = 1_900_000_000.0
TERMS = Terms(release_s=90 * DAY_S, freshness_s=7 * DAY_S, reply_s=30 * DAY_S)


def key(name: str) -> SigningKey:
    """Return the key of a name: always the same, and known to everybody."""
    return SigningKey.from_seed(name.encode().ljust(32, b"."))


@dataclass(frozen=True)
class Owner:
    """Who holds the keys; a threshold of `roots` and of `releases` has to sign."""

    roots: Sequence[SigningKey] = field(default_factory=lambda: (key("root"),))
    releases: Sequence[SigningKey] = field(default_factory=lambda: (key("release"),))
    freshness: SigningKey = field(default_factory=lambda: key("freshness"))
    reply: SigningKey = field(default_factory=lambda: key("reply"))
    root_threshold: int = 1
    release_threshold: int = 1

    def root(self, version: int = 1, expires_s: float = NOW_S + 365 * DAY_S, by: Sequence[SigningKey] = ()) -> bytes:
        """Return a root, signed by all root keys and by others."""
        holders: Mapping[str, tuple[Sequence[PublicKey], int]] = {
            "root": ([k.public for k in self.roots], self.root_threshold),
            "release": ([k.public for k in self.releases], self.release_threshold),
            "freshness": ([self.freshness.public], 1),
        }
        signers = {k.public.id: k for k in (*self.roots, *by)}
        return root_file(version, expires_s, holders, signers.values())

    def publish(self, folder: Path, bundle: Bundle | None = None, now_s: float = NOW_S, encoder: bytes = b"x") -> Path:
        """Write a bundle where one is given, a root where there is none, and sign; return the metadata's folder."""
        if bundle is not None:
            write_export(folder, bundle, encoder)
        if not list((folder / TRUST_FOLDER).glob("*.root.json")):
            add_root(folder / TRUST_FOLDER, self.root())
        sign_release(folder, self.signers, now_s, TERMS)
        return folder / TRUST_FOLDER

    def refresh(self, folder: Path, now_s: float) -> None:
        """Sign freshness anew."""
        sign_freshness(folder, [self.freshness], now_s, TERMS)

    @property
    def signers(self) -> Signers:
        """The keys of a release."""
        return Signers(self.releases, [self.freshness], [self.reply.public])


@dataclass
class Shelf:
    """A server in the process: metadata by name, which a test exchanges as a liar would. Keeps what was asked for."""

    files: dict[str, bytes]
    asked: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path) -> Shelf:
        return cls({path.name: read_metadata(folder, path.name) for path in folder.iterdir()})

    def __call__(self, name: str, limit_bytes: int) -> bytes | None:
        self.asked.append(name)
        return self.files.get(name)


def trust_at(now_s: float = NOW_S, root: bytes | None = None, state: TrustedState | None = None) -> Trust:
    """Return a device's trust with a clock that stands still."""
    return Trust(state or TrustedState(root or Owner().root()), lambda: now_s)


def body_of(data: bytes) -> dict[str, Any]:
    """Return what a file of metadata says."""
    return dict(json.loads(data)["signed"])


def changed(data: bytes, changes: Mapping[str, Any], *keys: SigningKey) -> bytes:
    """Return a file that says other things, signed by whom one likes. None takes a field out."""
    body = {**body_of(data), **changes}
    return signed_file({name: value for name, value in body.items() if value is not None}, keys)
