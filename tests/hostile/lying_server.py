"""What a server that lies about metadata offers, and that it is not believed."""

from __future__ import annotations

from typing import Any

import pytest

from persona.errors import TrustError
from persona.trust import Trust
from tests.signed import Owner, Shelf, changed, key, trust_at
from tests.worlds import World

OWNER = Owner()


ROLE_KEY = {"root": key("root"), "timestamp": key("freshness"), "snapshot": key("release"), "targets": key("release")}


NAMES = ("timestamp", "snapshot", "targets")


BUNDLE = World().bundle


def refused(files: dict[str, bytes], message: str = "", trust: Trust | None = None) -> None:
    """Assert that a server is not believed, and that nothing was learned from it but a new root."""
    device = trust or trust_at()
    before = device.state
    with pytest.raises(TrustError, match=message or None):
        device.refresh(Shelf(files))
    assert device.state is before or device.state.root.signed.version > before.root.signed.version
    assert device.state.targets_data in (b"", before.targets_data)


def relinked(files: dict[str, bytes], kind: str, data: bytes) -> dict[str, bytes]:
    """Return the files with one exchanged, and those that name it signed anew without lengths and hashes.

    So what refuses the one is its own signature, version or form, and not a hash before it.
    """
    found = {**files, f"{kind}.json": data}
    plain = {"version": 1}
    if kind == "targets":
        found["snapshot.json"] = changed(files["snapshot.json"], {"meta": {"targets.json": plain}}, key("release"))
    if kind != "timestamp":
        found["timestamp.json"] = changed(files["timestamp.json"], {"meta": {"snapshot.json": plain}}, key("freshness"))
    return found


def with_body(files: dict[str, bytes], kind: str, **changes: Any) -> dict[str, bytes]:
    """Return the files with facts of one exchanged, signed by its true key."""
    return relinked(files, kind, changed(files[f"{kind}.json"], changes, ROLE_KEY[kind]))
