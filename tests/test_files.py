"""Writing: whole or not at all, by a reader's word, whatever the disk says in between."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from persona.bundle import CLOUD_FILE, DEVICE_FILE, read_bundle, read_cloud_half, write_export
from persona.errors import ExportError
from persona.files import write_together, write_whole
from tests.tiny_bundles import tiny_bundle


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file under a folder, hidden and temporary ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class FullDisk:
    """Stands in for a call of the operating system that fails from its n-th use on."""

    def __init__(self, real: object, allowed: int) -> None:
        self.real, self.allowed = real, allowed

    def __call__(self, *arguments: object) -> object:
        if self.allowed <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.allowed -= 1
        return self.real(*arguments)  # type: ignore[operator]


def test_it_makes_the_folder_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert contents(tmp_path) == {"a/b/file": b"new"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_nothing_is_a_file_too(tmp_path: Path) -> None:
    write_whole(tmp_path / "empty", b"")
    assert contents(tmp_path) == {"empty": b""}


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    write_whole(tmp_path / "file", b"old")
    monkeypatch.setattr(os, call, FullDisk(getattr(os, call), 0))
    with pytest.raises(ExportError, match=r"file \(3 bytes\) cannot be written: No space left.*nothing was changed"):
        write_whole(tmp_path / "file", b"new")
    assert contents(tmp_path) == {"file": b"old"}


def test_an_interrupt_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "file", b"new")
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("path", ["file/below", "file/deeply/below"])
def test_a_path_under_a_file_cannot_be_written(tmp_path: Path, path: str) -> None:
    write_whole(tmp_path / "file", b"old")
    with pytest.raises(ExportError, match=r"below \(3 bytes\) cannot be written: (Not a directory|File exists)"):
        write_whole(tmp_path / path, b"new")
    assert contents(tmp_path) == {"file": b"old"}


def test_a_folder_of_that_name_is_kept(tmp_path: Path) -> None:
    write_whole(tmp_path / "folder" / "file", b"old")
    with pytest.raises(ExportError, match="there is a folder of that name; nothing was changed"):
        write_together({tmp_path / "other": b"new", tmp_path / "folder": b"new"})
    assert contents(tmp_path) == {"folder/file": b"old"}


def test_a_name_that_is_too_long_is_an_export_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="name too long"):
        write_whole(tmp_path / ("n" * 300), b"new")
    assert contents(tmp_path) == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into a read-only folder")
def test_a_read_only_folder_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(ExportError, match="Permission denied"):
            write_whole(tmp_path / "file", b"new")
        assert contents(tmp_path) == {}
    finally:
        tmp_path.chmod(0o755)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_folder_that_is_a_device_cannot_be_written() -> None:
    with pytest.raises(ExportError, match=r"/dev/full/file \(3 bytes\) cannot be written"):
        write_whole(Path("/dev/full/file"), b"new")


LIMITED = """
import resource, sys
from pathlib import Path
from persona.errors import ExportError
from persona.files import write_whole

resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_whole(Path(sys.argv[1]), bytes(100_000))
except ExportError as error:
    sys.exit(0 if "(100,000 bytes) cannot be written: File too large; nothing was changed" in str(error) else 3)
sys.exit(4)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no resource limits here")
def test_a_write_that_really_stops_half_way_leaves_nothing(tmp_path: Path) -> None:
    """The operating system refuses the write after 4,096 of 100,000 bytes."""
    write_whole(tmp_path / "file", b"old")
    done = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path / "file")], check=False, timeout=60)
    assert done.returncode == 0
    assert contents(tmp_path) == {"file": b"old"}


def test_an_export_is_a_pair(tmp_path: Path) -> None:
    written = write_export(tmp_path, tiny_bundle(), b"an encoder")
    assert sorted(contents(tmp_path)) == [CLOUD_FILE, DEVICE_FILE]
    assert read_bundle(tmp_path).fingerprint == written.fingerprint == read_cloud_half(tmp_path).bundle_fingerprint
    assert read_cloud_half(tmp_path).encoder == b"an encoder"


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("allowed", [0, 1])
def test_a_disk_that_fills_up_during_an_export_never_mixes_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, allowed: int
) -> None:
    """An older pair stays whole, unless the very last rename fails; then the error says what was changed."""
    write_export(tmp_path, tiny_bundle(b"an older graph"), b"an older encoder")
    before = contents(tmp_path)
    monkeypatch.setattr(os, call, FullDisk(getattr(os, call), allowed))
    with pytest.raises(ExportError, match="No space left") as caught:
        write_export(tmp_path, tiny_bundle(b"a newer graph"), b"a newer encoder")
    monkeypatch.undo()
    after = contents(tmp_path)
    assert sorted(after) == sorted(before)
    assert after[DEVICE_FILE] == before[DEVICE_FILE]
    if (call, allowed) == ("replace", 1):
        assert f"{CLOUD_FILE} was changed" in str(caught.value)
    else:
        assert after == before
        assert "nothing was changed" in str(caught.value)
