"""Files, whole or not at all: a temporary name in the same folder, flushed to disk, then renamed."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from persona.errors import ExportError


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    ExportError where the folder cannot be made or written, or the disk is full; nothing is left behind then.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _unwritable(path, data, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise _unwritable(path, data, error) from error


def _unwritable(path: Path, data: bytes, error: OSError) -> ExportError:
    reason = error.strerror or str(error)
    return ExportError(
        f"{path} ({len(data):,} bytes) cannot be written: {reason}; nothing was changed. "
        "Free some space or choose another folder"
    )
