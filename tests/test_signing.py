"""The verbs keys, sign and verify, with a service and a device in between: what a bundle's owner types."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from persona.bundle import write_export
from persona.cli import app
from persona.device import HttpCloud, Runtime, Trust, fetch_bundle
from persona.errors import TrustError
from persona.processes import ServiceProcess
from persona.trust.publish import published
from tests.test_cli import persona
from tests.worlds import World

WORLD = World()


def typed(*arguments: object) -> str:
    """Run a verb that succeeds, in this process; those that are to fail run in processes of their own."""
    ended = CliRunner().invoke(app, list(map(str, arguments)))
    assert ended.exit_code == 0, ended.output
    return ended.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys under one passphrase, but for the service's, and a bundle signed with them."""
    home = tmp_path_factory.mktemp("owner")
    (home / "phrase").write_text("open sesame\nnot this line\n")
    for name in ("root", "release", "freshness"):
        typed("keys", "new", home / name, "--passphrase-file", home / "phrase")
    typed("keys", "new", home / "reply")
    bundle = home / "bundle"
    write_export(bundle, WORLD.bundle, WORLD.encoder)
    phrase = ("--passphrase-file", home / "phrase")
    publics = ("--release-key", home / "release.pub", "--freshness-key", home / "freshness.pub")
    typed("keys", "root", bundle, "--root-key", home / "root", *publics, *phrase)
    privates = ("--release-key", home / "release", "--freshness-key", home / "freshness")
    said = typed("sign", "bundle", bundle, *privates, "--reply-key", home / "reply.pub", *phrase)
    assert WORLD.bundle.fingerprint in said
    return bundle


def test_a_device_that_trusts_the_root_adapts_by_signed_replies(folder: Path, tmp_path: Path) -> None:
    trust = Trust.from_root((folder / "trust" / "1.root.json").read_bytes())
    with ServiceProcess(folder, tmp_path / "log", folder.parent / "reply") as service:
        bundle = fetch_bundle(service.url, trust=trust)
        assert bundle is not None
        x, _ = WORLD.sample(-1, 64, np.random.default_rng(0), 0.5)
        with HttpCloud(service.url, 10.0, trust=trust) as cloud, Runtime(bundle, cloud) as runtime:
            runtime.observe(x)
            status = runtime.adapt()
        assert (status.reason, status.in_force) == ("", "prototype 1 + residual")
        stranger = ServiceProcess(folder, tmp_path / "other log")
        with stranger, HttpCloud(stranger.url, 10.0, trust=trust) as cloud, Runtime(bundle, cloud) as runtime:
            runtime.observe(x)
            assert "no key to sign with" in runtime.adapt().reason
    assert "replies are not signed" in (tmp_path / "other log").read_text()
    assert "replies are not signed" not in (tmp_path / "log").read_text()


def test_verify_says_what_a_device_would_take(folder: Path) -> None:
    said = typed("verify", folder, "--root", folder / "trust" / "1.root.json")
    assert f"bundle: {WORLD.bundle.fingerprint}" in said
    key, _ = published(folder).reply_keys[0]
    assert f"reply key: {key.id}, until 20" in said


def test_keys_rotate_and_freshness_is_signed_anew(folder: Path) -> None:
    home = folder.parent
    phrase = ("--passphrase-file", home / "phrase")
    first = folder / "trust" / "1.root.json"
    typed("keys", "new", home / "root 2", *phrase)
    typed("keys", "new", home / "release 2", *phrase)
    roots = ("--sign-with", home / "root", "--root-key", home / "root 2")
    typed("keys", "rotate", folder, *roots, "--release-key", home / "release 2.pub", *phrase)
    assert persona("verify", str(folder), "--root", str(first)).returncode == 1, "the old release key counts no more"
    old = ("--release-key", home / "release", "--freshness-key", home / "freshness")
    ended = persona(*map(str, ("sign", "bundle", folder, *old, *phrase)))
    assert ended.returncode == 1
    assert "0 good signatures" in ended.stderr
    new = ("--release-key", home / "release 2", "--freshness-key", home / "freshness")
    typed("sign", "bundle", folder, *new, "--reply-key", home / "reply.pub", *phrase)
    said = typed("sign", "freshness", folder, "--freshness-key", home / "freshness", *phrase)
    assert said.startswith("freshness: 3, until")
    assert "root: 2, until" in typed("verify", folder, "--root", first)
    ended = persona(*map(str, ("keys", "rotate", folder, "--sign-with", home / "root", *phrase)))
    assert ended.returncode == 1, "the old root key makes no more roots"


def test_private_keys_are_for_their_owner_alone(folder: Path) -> None:
    for name in ("root", "release", "reply"):
        assert stat.S_IMODE((folder.parent / name).stat().st_mode) == 0o600
    assert b"ENCRYPTED" in (folder.parent / "root").read_bytes()
    ended = persona("keys", "new", str(folder.parent / "root"))
    assert ended.returncode == 1
    assert "File exists" in ended.stderr


def test_what_was_altered_after_signing_is_not_verified(folder: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    write_export(copy, World(support=(8, 16)).bundle, WORLD.encoder)
    ended = persona("verify", str(copy), "--root", str(folder / "trust" / "1.root.json"))
    assert ended.returncode == 1
    assert "is not the one of release" in ended.stderr
    body = json.loads((copy / "trust" / "targets.json").read_text())
    body["signed"]["version"] = 9
    (copy / "trust" / "targets.json").write_text(json.dumps(body))
    assert "mixed" in persona("verify", str(copy), "--root", str(folder / "trust" / "1.root.json")).stderr


def test_a_passphrase_file_must_have_one(tmp_path: Path) -> None:
    from persona.signing import read_passphrase

    (tmp_path / "empty").write_text("\nsecond\n")
    (tmp_path / "long").write_bytes(b"a" * 1024)
    for name in ("empty", "absent", "long"):
        with pytest.raises(TrustError, match="passphrase"):
            read_passphrase(tmp_path / name)
    (tmp_path / "phrase").write_bytes(b"one two\r\nthree")
    assert read_passphrase(tmp_path / "phrase") == b"one two"
