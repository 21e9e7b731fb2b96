"""What the release keys vouch for: one bundle, its bank's version, and who signs replies for it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from persona.bundle import DEVICE_FILE, Bundle
from persona.container import SIZE_LIMIT_BYTES
from persona.errors import TrustError
from persona.trust.keys import PublicKey
from persona.trust.metadata import Signed, digest, seconds_of, whole

# A reply is tried under each of these; more would be work that a liar causes.
MAX_REPLY_KEYS = 4


@dataclass(frozen=True)
class Release:
    """A release. `reply_keys` with the time each of them expires, in seconds since 1970; the newest stands first."""

    version: int
    expires_s: int
    length: int
    sha256: str
    fingerprint: str
    bank_version: int
    reply_keys: tuple[tuple[PublicKey, int], ...]

    @classmethod
    def of(cls, signed: Signed) -> Release:
        """Read what a device needs of targets, without checking signatures; TrustError where they lack it."""
        targets = signed.body.get("targets")
        target = targets.get(DEVICE_FILE) if isinstance(targets, dict) else None
        if not isinstance(target, dict):
            raise TrustError(f"targets metadata does not name {DEVICE_FILE}; sign the release anew")
        custom = target.get("custom")
        facts = custom.get("persona") if isinstance(custom, dict) else None
        if not isinstance(facts, dict):
            raise TrustError(f"targets metadata says nothing of its own about {DEVICE_FILE}; sign it by `persona sign`")
        fingerprint, keys = facts.get("fingerprint"), facts.get("reply_keys")
        if not isinstance(fingerprint, str) or not re.fullmatch("[0-9a-f]{64}", fingerprint):
            raise TrustError(f"a release is of bundle {fingerprint!r:.40}; wanted 64 hexadecimal digits")
        if not isinstance(keys, list) or len(keys) > MAX_REPLY_KEYS:
            raise TrustError(f"a release wants a list of at most {MAX_REPLY_KEYS} reply keys")
        return cls(
            signed.version,
            signed.expires_s,
            whole(target.get("length"), f"length of {DEVICE_FILE}", 1, SIZE_LIMIT_BYTES),
            digest(target.get("hashes"), DEVICE_FILE),
            fingerprint,
            whole(facts.get("bank_version"), "bank version of a release", 0, 65535),
            tuple(map(_reply_key, keys)),
        )

    def keys_at(self, now_s: float) -> tuple[PublicKey, ...]:
        """Return the reply keys that count at a time: none once the release itself has expired."""
        if self.expires_s <= now_s:
            return ()
        return tuple(key for key, expires_s in self.reply_keys if expires_s > now_s)

    def bundle(self, data: bytes) -> Bundle:
        """Return the bundle of the release from its bytes; TrustError where they are another's, BundleError if none's.

        Length and hash come first: no byte of a file that nobody signed is parsed.
        """
        if len(data) != self.length or hashlib.sha256(data).hexdigest() != self.sha256:
            raise TrustError(
                f"a bundle of {len(data):,} bytes is not the one of release {self.version} ({self.length:,} bytes, "
                f"{self.fingerprint[:12]}): altered, cut short, or of another release; fetch both again"
            )
        bundle = Bundle.from_bytes(data)
        if (bundle.fingerprint, bundle.bank.version) != (self.fingerprint, self.bank_version):
            raise TrustError(
                f"release {self.version} names bundle {self.fingerprint[:12]} with bank version {self.bank_version}, "
                f"its file is {bundle.fingerprint[:12]} with {bundle.bank.version}; sign the release anew"
            )
        return bundle


def _reply_key(entry: Any) -> tuple[PublicKey, int]:
    if not isinstance(entry, dict) or entry.keys() != {"key", "expires"}:
        raise TrustError("a reply key of a release wants 'key' and 'expires', and nothing else")
    return PublicKey.from_json(entry["key"]), seconds_of(entry["expires"])
