"""Readers of event logs by name: `open_log` reads one from a folder, or a file, of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from persona import catalog
from persona.errors import DataError
from persona.tasks.recommendation.events import EventLog

Reader = Callable[[Path], EventLog]


def open_log(name: str, place: Path) -> EventLog:
    """The log of a data set: a name of the catalogue's `logs`, or ``module:callable`` of your own, which takes a path.

    `place` is the data set's folder, or a folder that holds one of that name. Raises CatalogError for an unknown name,
    DataError where files are absent or not what they should be.
    """
    reader: Reader = catalog.load("logs", name)
    inner = place / name
    found = inner if inner.is_dir() else place
    if not found.exists():
        raise DataError(f"data set {name!r} is not at {place}: there is no such file or folder; name where it lies")
    return reader(found)
