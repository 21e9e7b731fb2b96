"""MovieLens-100K for those who have no copy: taken out of a pinned Python package, through the pip that is set up here.

GroupLens allows research use and no redistribution, so the files are fetched by the user and never shipped.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from persona.errors import DataError
from persona.files import check_writable, write_together


@dataclass(frozen=True)
class Archive:
    """A wheel that holds a data set: what pip calls it, the wheel's sha256, and where the wanted files lie in it."""

    requirement: str
    sha256: str
    folder: str
    files: tuple[str, ...]


MOVIELENS_100K = Archive(
    "recbole==1.2.1",
    "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
    "recbole/dataset_example/ml-100k",
    ("ml-100k.inter", "ml-100k.item", "ml-100k.user"),
)
ARCHIVES = {"ml-100k": MOVIELENS_100K}
LARGEST_BYTES = 1 << 26  # of one file in the archive
Download = Callable[[str, Path], None]


def pip_download(requirement: str, folder: Path) -> None:
    """Download a wheel, without what it depends on, into a folder. DataError where pip cannot."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run([*command, "--dest", str(folder), requirement], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DataError(f"pip could not download {requirement}: {done.stderr.strip()[-500:]}; or put the files there")


def fetch(archive: Archive, folder: Path, download: Download = pip_download) -> tuple[Path, ...]:
    """Download an archive, check it, and write its files into a folder; return their paths.

    DataError where the download fails, the archive is not the pinned one, or lacks a file; ExportError where the folder
    cannot be written. Nothing is written then.
    """
    check_writable(folder)
    with tempfile.TemporaryDirectory() as scratch:
        download(archive.requirement, Path(scratch))
        wheels = sorted(Path(scratch).glob("*.whl"))
        if len(wheels) != 1:
            raise DataError(f"the download of {archive.requirement} left {len(wheels)} wheels; wanted one")
        contents = _checked(archive, wheels[0])
    files = {folder / name: data for name, data in zip(archive.files, contents, strict=True)}
    write_together(files)
    return tuple(files)


def _checked(archive: Archive, wheel: Path) -> list[bytes]:
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != archive.sha256:
        raise DataError(
            f"{wheel.name} has sha256 {found}; wanted {archive.sha256}: it is not the package that was pinned, and was "
            "not opened"
        )
    try:
        with zipfile.ZipFile(wheel) as members:
            return [_member(members, f"{archive.folder}/{name}") for name in archive.files]
    except (zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"{wheel.name} does not hold the files wanted of it ({error})") from error


def _member(members: zipfile.ZipFile, name: str) -> bytes:
    if members.getinfo(name).file_size > LARGEST_BYTES:
        raise DataError(f"{name} has {members.getinfo(name).file_size} bytes; wanted at most {LARGEST_BYTES}")
    return members.read(name)
