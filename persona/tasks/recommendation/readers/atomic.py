"""RecBole's atomic files: tab-separated, each column named with its type (``user_id:token``, ``timestamp:float``).

Source: https://recbole.io/docs/user_guide/data/atomic_files.html
"""

from __future__ import annotations

from pathlib import Path

from persona.errors import DataError
from persona.tasks.recommendation.events import EventLog
from persona.tasks.recommendation.readers.delimited import Dialect, header_of
from persona.tasks.recommendation.readers.tables import Naming, read_delimited, texts_of

ATOMIC = Dialect(delimiter="\t", quoted=False)
KINDS = ("token", "token_seq", "float", "float_seq")


def read_atomic(place: Path) -> EventLog:
    """The log of a folder with one ``.inter`` file, or of that file; texts where an ``.item`` file lies beside it.

    Text is every ``token_seq`` column of an item. DataError where files are absent, or their header has no types.
    """
    interactions = place if place.is_file() else _only(place)
    header = _typed(interactions)
    naming = Naming(
        _column(interactions, header, "user_id"), _column(interactions, header, "item_id"), "timestamp:float",
        "rating:float",
    )  # fmt: skip
    log = read_delimited(interactions, ATOMIC, naming)
    stem = interactions.name.removesuffix(".gz").removesuffix(".inter")
    for items in (interactions.with_name(f"{stem}.item"), interactions.with_name(f"{stem}.item.gz")):
        if items.is_file():
            named = _typed(items)
            said = [column for column in named if column.endswith(":token_seq")]
            if said:
                log = log.with_texts(texts_of(items, _column(items, named, "item_id"), said, ATOMIC))
            break
    return log


def _only(folder: Path) -> Path:
    found = sorted([*folder.glob("*.inter"), *folder.glob("*.inter.gz")])
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise DataError(f"folder {folder} should have one .inter file and has {names}; name the file itself")
    return found[0]


def _typed(file: Path) -> tuple[str, ...]:
    header = header_of(file, ATOMIC)
    untyped = [column for column in header if column.rpartition(":")[2] not in KINDS or ":" not in column]
    if untyped or not header:
        raise DataError(
            f"data file {file} has the columns {', '.join(header) or 'none'}; wanted each with its type, as in "
            f"user_id:token: is it an atomic file? ({', '.join(KINDS)})"
        )
    return header


def _column(file: Path, header: tuple[str, ...], name: str) -> str:
    for column in header:
        if column.partition(":")[0] == name:
            return column
    raise DataError(f"data file {file} has the columns {', '.join(header)}; wanted also {name}:token")
