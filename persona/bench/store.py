"""Rows on disk: a JSON file of rows by name and of what they are about; and the circumstances of a figure."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from persona.errors import DataError
from persona.files import write_whole


def read_rows(path: Path, parts: Sequence[str] = ()) -> dict[str, Any]:
    """Return a file's content, empty where there is none; DataError where it is damaged.

    It has `rows` by name, and so have the other `parts` entries by name.
    """
    if not path.exists():
        return {}
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for part in ("rows", *parts):
            content[part].items()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"results {path} are damaged ({error!r}); delete the file, and run again") from error
    return content


def write_rows(
    path: Path, about: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]], same: Sequence[str] = ("plan",)
) -> None:
    """Add rows to a file that tells of what they are `about`; DataError where it is damaged, or tells otherwise.

    `same` are the parts of `about` that may not differ.
    """
    content = read_rows(path) or {**about, "rows": {}}
    for name in same:
        kept, wanted = content.get(name), about[name]
        if kept != wanted:
            differing = [key for key in wanted if not isinstance(kept, dict) or kept.get(key) != wanted[key]]
            raise DataError(
                f"results {path} are of another {name} ({', '.join(differing)}); use another folder, or delete them"
            )
    content["rows"].update(rows)
    write_whole(path, (json.dumps(content, indent=0, sort_keys=True) + "\n").encode())


def circumstances() -> dict[str, Any]:
    """Return what a figure depends on beside its plan: commit, machine, versions."""
    return {
        "commit": _commit(),
        "machine": {"system": platform.system(), "processor": platform.machine(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("numpy", "torch", "persona-edge")},
    }


def _commit() -> str:
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return found.stdout.strip() or "unknown"
