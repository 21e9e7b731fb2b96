"""The folder of signed metadata: what lies beside it does not count, and what no device could read is not written."""

from __future__ import annotations

from pathlib import Path

import pytest

from persona.errors import TrustError
from persona.trust import Root
from persona.trust.metadata import MAX_VERSION
from persona.trust.publish import add_root, newest_root, sign_release
from tests.signed import NOW_S, Owner, changed, key
from tests.worlds import World


def test_a_copy_that_somebody_left_beside_a_root_is_no_root(tmp_path: Path) -> None:
    owner = Owner()
    for name in ("1 copy.root.json", "old.root.json", "²7.root.json", "0.root.json"):
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(TrustError, match="has no root metadata"):
        newest_root(tmp_path)
    add_root(tmp_path, owner.root())
    add_root(tmp_path, owner.root(2))
    assert Root.read(newest_root(tmp_path)).signed.version == 2


def test_a_release_beyond_the_last_version_is_not_written(tmp_path: Path) -> None:
    owner = Owner()
    trust = owner.publish(tmp_path, World().bundle)
    targets = trust / "targets.json"
    targets.write_bytes(changed(targets.read_bytes(), {"version": MAX_VERSION}, key("release")))
    before = {path.name: path.read_bytes() for path in trust.iterdir()}
    with pytest.raises(TrustError, match="version of targets metadata"):
        sign_release(tmp_path, owner.signers, NOW_S)
    assert {path.name: path.read_bytes() for path in trust.iterdir()} == before
