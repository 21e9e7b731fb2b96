"""Files, whole or not at all: a temporary name in the same folder, flushed to disk, then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from persona.errors import ExportError


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    ExportError where the folder cannot be made or written, or the disk is full; no part is left behind then.
    """
    write_together({path: data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write files that belong together: all lie there under temporary names before the first is renamed.

    ExportError as from `write_whole`: a disk that fills up on the last file leaves every one's old content.
    """
    staged: dict[Path, Path] = {}
    renamed: list[str] = []
    path = Path()
    try:
        for path, data in files.items():
            staged[path] = _reserve(path)
            _fill(staged[path], data)
        for path, temporary in staged.items():
            os.replace(temporary, path)
            renamed.append(path.name)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ExportError(
            f"{path} ({len(files[path]):,} bytes) cannot be written: {reason}; "
            f"{', '.join(renamed) or 'nothing'} was changed. Free some space or choose another folder"
        ) from error
    finally:  # on success the temporary names are gone already
        for temporary in staged.values():
            with contextlib.suppress(OSError):
                temporary.unlink()


def _reserve(path: Path) -> Path:
    """Return the temporary name that will become a path; OSError where it cannot."""
    if path.is_dir():  # the rename would fail, and perhaps only after another file's succeeded
        raise IsADirectoryError(errno.EISDIR, "there is a folder of that name")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    return Path(temporary)


def _fill(temporary: Path, data: bytes) -> None:
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.chmod(0o644)


def check_writable(folder: Path) -> None:
    """Raise ExportError where a folder cannot be made or written: to be told before long work rather than after it."""
    path = folder / "probe"
    try:
        _reserve(path).unlink()
    except OSError as error:
        raise ExportError(f"folder {folder} cannot be written: {error.strerror or error}; choose another") from error
