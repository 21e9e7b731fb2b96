"""python-tuf reads, verifies and follows what we write, and we read what it writes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from persona.bundle import DEVICE_FILE, read_file, write_export
from persona.errors import TrustError
from persona.trust import Trust
from tests.signed import NOW_S, Owner, Shelf, key, trust_at
from tests.worlds import World

ROLES = ("root", "timestamp", "snapshot", "targets")
SIGNERS = {role: CryptoSigner(Ed25519PrivateKey.from_private_bytes(role.encode().ljust(32, b"."))) for role in ROLES}


@pytest.fixture
def owner() -> Owner:
    return Owner(roots=(key("root"), key("root 2")), root_threshold=2)


class FromFolder(FetcherInterface):  # type: ignore[misc]
    """Serves a folder to python-tuf's client without a network."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _fetch(self, url: str) -> Any:
        path = self._folder / url.removeprefix("folder:///")
        if not path.exists():
            from tuf.api.exceptions import DownloadHTTPError

            raise DownloadHTTPError("none", 404)
        return iter([path.read_bytes()])


def test_its_metadata_api_reads_and_verifies_ours(tmp_path: Path, owner: Owner) -> None:
    trust = owner.publish(tmp_path, World().bundle)
    root = Metadata[Root].from_file(str(trust / "1.root.json"))
    root.verify_delegate("root", root)
    assert root.signed.version == 1
    assert root.signed.roles["root"].threshold == 2
    for role in ("timestamp", "snapshot", "targets"):
        found = Metadata.from_file(str(trust / f"{role}.json"))
        root.verify_delegate(role, found)
    assert found.signed.targets[DEVICE_FILE].length == (tmp_path / DEVICE_FILE).stat().st_size
    found.signed.targets[DEVICE_FILE].verify_length_and_hashes(read_file(tmp_path / DEVICE_FILE))


def test_its_client_follows_our_roots_and_downloads_our_bundle(tmp_path: Path, owner: Owner) -> None:
    first = owner.root()
    now_s = datetime.now(UTC).timestamp()
    trust = owner.publish(tmp_path / "bundle", World().bundle, now_s)
    after = Owner(roots=(key("root 3"),), releases=(key("release 2"),))
    (trust / "2.root.json").write_bytes(after.root(2, by=owner.roots))
    after.publish(tmp_path / "bundle", now_s=now_s)
    cache, downloads = tmp_path / "cache", tmp_path / "downloads"
    downloads.mkdir()
    client = Updater(
        str(cache), "folder:///trust/", str(downloads), "folder:///", FromFolder(tmp_path / "bundle"),
        UpdaterConfig(prefix_targets_with_hash=False), bootstrap=first,
    )  # fmt: skip
    client.refresh()
    info = client.get_targetinfo(DEVICE_FILE)
    assert info is not None
    path = client.download_target(info)
    assert Path(path).read_bytes() == read_file(tmp_path / "bundle" / DEVICE_FILE)
    ours = trust_at(now_s, first)
    ours.refresh(Shelf.of(trust))
    assert ours.state.root.signed.version == 2


def theirs(folder: Path, threshold: int = 1) -> dict[str, bytes]:
    """Return a repository that python-tuf wrote."""
    expires = datetime.fromtimestamp(NOW_S + 86_400, UTC)
    root = Root(expires=expires, consistent_snapshot=False)
    for role, signer in SIGNERS.items():
        root.add_key(signer.public_key, role)
    root.roles["root"].threshold = threshold
    bundle = write_export(folder, World().bundle, b"x")
    target = TargetFile.from_file(DEVICE_FILE, str(folder / DEVICE_FILE), ["sha256"])
    target.unrecognized_fields["custom"] = {
        "persona": {"fingerprint": bundle.fingerprint, "bank_version": bundle.bank.version, "reply_keys": []}
    }
    wholes = {
        "1.root.json": Metadata(root),
        "targets.json": Metadata(Targets(expires=expires, targets={DEVICE_FILE: target})),
        "snapshot.json": Metadata(Snapshot(expires=expires, meta={"targets.json": MetaFile(1)})),
        "timestamp.json": Metadata(Timestamp(expires=expires, snapshot_meta=MetaFile(1))),
    }
    for whole in wholes.values():
        whole.sign(SIGNERS[whole.signed.type])
    return {name: whole.to_bytes() for name, whole in wholes.items()}


def test_we_read_and_verify_what_it_writes(tmp_path: Path) -> None:
    files = theirs(tmp_path)
    trust = Trust.from_root(files["1.root.json"], lambda: NOW_S)
    trust.refresh(Shelf(files))
    assert trust.bundle(read_file(tmp_path / DEVICE_FILE)).fingerprint == World().bundle.fingerprint


def test_both_refuse_what_a_threshold_did_not_sign(tmp_path: Path) -> None:
    from tuf.api.exceptions import RepositoryError

    files = theirs(tmp_path)
    root = Metadata[Root].from_bytes(files["1.root.json"])
    for name in ("timestamp.json", "snapshot.json", "targets.json"):
        wrong = Metadata.from_bytes(files[name])
        wrong.sign(SIGNERS["root"])  # instead of its own role's key
        with pytest.raises(RepositoryError):
            root.verify_delegate(wrong.signed.type, wrong)
        trust = Trust.from_root(files["1.root.json"], lambda: NOW_S)
        with pytest.raises(TrustError, match="0 good signatures of the keys that count; wanted 1"):
            trust.refresh(Shelf({**files, name: wrong.to_bytes()}))
