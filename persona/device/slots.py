"""A folder of named contents, each replaced whole: ``kill -9`` at any instant leaves the old content or the new.

A content is written under a temporary name of its own, flushed to the disk, renamed, and the folder flushed. It starts
with a magic and the sha256 of what follows, so that a file that is damaged, cut short or foreign is told from one that
is whole. One process writes: it holds a lock for as long as it has the folder open.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from persona.container import SIZE_LIMIT_BYTES
from persona.errors import StateError

logger = logging.getLogger(__name__)

MAGIC = b"PERSONA1"
_HEAD_BYTES = len(MAGIC) + hashlib.sha256().digest_size
LOCK_FILE = "lock"
# What is told after each step towards the disk, by name: for tests that end the process there.
AfterStep = Callable[[str], None]


class Slots:
    """The folder. Many threads may call every method; `read_only` needs no lock and changes nothing."""

    def __init__(self, folder: Path, *, read_only: bool = False, after_step: AfterStep | None = None) -> None:
        """StateError where the folder cannot be made, or another process writes to it."""
        self.folder = folder
        self.read_only = read_only
        self._after_step = after_step
        self._turn = threading.RLock()
        self._lock_file = None if read_only else _locked(folder)

    def read(self, name: str) -> bytes | None:
        """Return a content, None where there is none; one that is not whole is set aside, which the log says."""
        path = self._path(name)
        with self._turn:  # so that what is set aside is what was read
            try:
                too_large = path.stat().st_size > SIZE_LIMIT_BYTES
                whole = b"" if too_large else path.read_bytes()
            except FileNotFoundError:
                return None
            except OSError as error:  # of the system rather than of the file, perhaps for a while: it stays
                logger.warning("%s cannot be read and is left out: %s", path, error.strerror or error)
                return None
            data = whole[_HEAD_BYTES:]
            if whole[:_HEAD_BYTES] == _head(data):
                return data
            self.set_aside(name, "it is too large" if too_large else "its content is not what its checksum says")
            return None

    def holds(self, name: str) -> bool:
        """Return whether there is a content of that name, readable or not."""
        return self._path(name).exists()

    def write(self, name: str, data: bytes) -> None:
        """Replace a content; StateError where that cannot be done, and the old content stays."""
        self._check_open()
        path = self._path(name)
        temporary = path.with_suffix(".new")  # always the same one, so that a killed process leaves no litter behind
        with self._turn:
            try:
                self._fill(temporary, data)
                self._step("flushed")
                os.replace(temporary, path)
                self._step("renamed")
                _flush_folder(self.folder)
                self._step("folder flushed")
            except OSError as error:
                with contextlib.suppress(OSError):
                    temporary.unlink()
                raise StateError(
                    f"{path} ({len(data):,} bytes) cannot be kept: {error.strerror or error}; what was kept before "
                    "stays. Free some space, or name another folder"
                ) from error

    def drop(self, name: str) -> None:
        """Remove a content, if there is one; StateError where that cannot be done."""
        self._check_open()
        with self._turn:
            try:
                self._path(name).unlink(missing_ok=True)
                self._step("removed")
                _flush_folder(self.folder)
                self._step("folder flushed")
            except OSError as error:
                raise StateError(f"{self._path(name)} cannot be removed: {error.strerror or error}") from error

    def set_aside(self, name: str, reason: str) -> None:
        """Rename what cannot be used, so that people can look at it and nothing reads it again."""
        path = self._path(name)
        logger.warning("%s cannot be used and is set aside: %s", path, reason)
        if not self.read_only:
            with self._turn, contextlib.suppress(OSError):
                os.replace(path, path.with_suffix(".damaged"))

    def close(self) -> None:
        """Give the folder back, so that another process may write to it."""
        with self._turn:
            if self._lock_file is not None:
                os.close(self._lock_file)
            self._lock_file = None

    def _fill(self, temporary: Path, data: bytes) -> None:
        with temporary.open("wb", buffering=0) as file:
            self._step("made")
            for part in (_head(data), data):
                rest = memoryview(part)
                while rest:
                    rest = rest[file.write(rest) :]
                self._step("part written")
            os.fsync(file.fileno())

    def _step(self, name: str) -> None:
        if self._after_step is not None:
            self._after_step(name)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.state"

    def _check_open(self) -> None:
        if self.read_only:
            raise StateError(f"state folder {self.folder} was opened to read only; open it to write")
        if self._lock_file is None:
            raise StateError(f"state folder {self.folder} is closed; open it anew")


def _head(data: bytes) -> bytes:
    return MAGIC + hashlib.sha256(data).digest()


def _locked(folder: Path) -> int:
    """Return the open lock file of a folder, which the system frees when the process ends, however it does."""
    path = folder / LOCK_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StateError(
            f"state folder {folder} cannot be used: {error.strerror or error}; name another, or open it to read only"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        os.close(lock)
        raise StateError(
            f"state folder {folder} is in use by process {holder or 'unknown'} ({error.strerror or error}); end that, "
            "name another folder, or open it to read only"
        ) from error
    with contextlib.suppress(OSError):  # for the message above alone: a full disk must not keep a device from starting
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
