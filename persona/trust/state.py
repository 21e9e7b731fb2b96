"""What a device has come to trust: to be kept through every restart, or rolling back becomes possible."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import cached_property

from persona.errors import TrustError
from persona.trust.metadata import LIMIT_BYTES, Root, Signed
from persona.trust.release import Release

# Magic, format; versions of timestamp, snapshot and release; newest time; lengths of root and targets metadata.
_HEAD = struct.Struct("<3sBIIIQII")
_MAGIC, _FORMAT = b"PTS", 1
_HASH_BYTES = 32
STATE_LIMIT_BYTES = _HEAD.size + 2 * LIMIT_BYTES + _HASH_BYTES
_MAX_SECONDS = 253_402_300_799  # the last one of the year 9999


@dataclass(frozen=True)
class TrustedState:
    """Root and targets metadata as they were verified, versions that never go back, and the newest time seen.

    `timestamp` and `snapshot` are versions, 0 before the first; `targets_data` is empty before the first release.
    `seen_s`, in seconds since 1970, is the clock at the last refresh that held: an earlier clock is not believed.
    """

    root_data: bytes
    timestamp: int = 0
    snapshot: int = 0
    targets_data: bytes = b""
    seen_s: int = 0

    def __post_init__(self) -> None:
        """TrustError where the parts are no metadata, or do not belong together."""
        if not (0 <= self.timestamp < 1 << 32 and 0 <= self.snapshot < 1 << 32 and 0 <= self.seen_s <= _MAX_SECONDS):
            raise TrustError(f"a trusted state has versions {self.timestamp}, {self.snapshot}, time {self.seen_s}")
        _ = self.root
        if self.targets is not None:
            self.root.check(self.targets)
            _ = self.release

    @cached_property
    def root(self) -> Root:
        """The root in force."""
        return Root.read(self.root_data)

    @cached_property
    def targets(self) -> Signed | None:
        """The metadata of the release in force; None before the first."""
        return Signed.read("targets", self.targets_data) if self.targets_data else None

    @cached_property
    def release(self) -> Release | None:
        """The release in force; None before the first."""
        return None if self.targets is None else Release.of(self.targets)

    def to_bytes(self) -> bytes:
        """Return the state as bytes, with a hash at the end by which damage shows."""
        head = _HEAD.pack(
            _MAGIC, _FORMAT, self.timestamp, self.snapshot, 0 if self.release is None else self.release.version,
            self.seen_s, len(self.root_data), len(self.targets_data),
        )  # fmt: skip
        data = head + self.root_data + self.targets_data
        return data + hashlib.sha256(data).digest()

    @classmethod
    def from_bytes(cls, data: bytes) -> TrustedState:
        """Read what `to_bytes` wrote; TrustError where it is damaged or something else.

        The hash shows damage, not malice: who can write a device's own files decides what it trusts.
        """
        if not _HEAD.size + _HASH_BYTES <= len(data) <= STATE_LIMIT_BYTES:
            raise TrustError(f"{len(data):,} bytes are no trusted state; wanted up to {STATE_LIMIT_BYTES:,}")
        body, end = data[:-_HASH_BYTES], data[-_HASH_BYTES:]
        magic, form, timestamp, snapshot, release, seen_s, root, targets = _HEAD.unpack_from(body)
        if magic != _MAGIC or form != _FORMAT:
            raise TrustError(f"a trusted state starts with {magic!r}, format {form}; wanted {_MAGIC!r}, {_FORMAT}")
        if hashlib.sha256(body).digest() != end or len(body) != _HEAD.size + root + targets:
            raise TrustError("a trusted state is damaged: its hash or its length differs; start from the root you ship")
        middle = _HEAD.size + root
        state = cls(body[_HEAD.size : middle], timestamp, snapshot, body[middle:], seen_s)
        if release != (0 if state.release is None else state.release.version):
            raise TrustError(f"a trusted state names release {release}, its metadata another; start from the root")
        return state
