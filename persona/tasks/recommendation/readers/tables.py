"""A log from one table, CSV or Parquet, whose columns are named after what they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from persona.errors import DataError
from persona.tasks.recommendation.collecting import MOST_EVENTS, Collector, Ids
from persona.tasks.recommendation.events import EventLog
from persona.tasks.recommendation.ordering import Duplicates
from persona.tasks.recommendation.readers.delimited import CSV, ROWS, Dialect, header_of, read_chunks


@dataclass(frozen=True)
class Naming:
    """The columns of a table that hold the user, the item, the time in seconds and the rating.

    A time or rating column that a table lacks is a log without; an item's text comes from a table of items.
    """

    user: str = "user_id"
    item: str = "item_id"
    time: str | None = "timestamp"
    rating: str | None = "rating"


NAMING = Naming()


def read_csv(
    file: Path, naming: Naming = NAMING, *, duplicates: Duplicates = "keep", seed: int = 0, most: int = MOST_EVENTS
) -> EventLog:
    """The log of a CSV file, gzipped or not, with a header. DataError where it is not such a file."""
    chunks = read_chunks(file, _columns(file, naming, header_of(file)), CSV)
    return _log(chunks, naming, Collector(most), duplicates, seed)


def read_delimited(file: Path, dialect: Dialect, naming: Naming = NAMING) -> EventLog:
    """The log of a table laid out as `dialect` says. DataError where it is not such a file."""
    known = dialect.columns or header_of(file, dialect)
    return _log(read_chunks(file, _columns(file, naming, known), dialect), naming, Collector(), "keep", 0)


def read_parquet(
    file: Path, naming: Naming = NAMING, *, duplicates: Duplicates = "keep", seed: int = 0, most: int = MOST_EVENTS
) -> EventLog:
    """The log of a Parquet file, read batch by batch. DataError where it is not such a file, or pyarrow is absent."""
    parquet, damage = _pyarrow()
    try:
        with parquet.ParquetFile(file) as opened:
            columns = _columns(file, naming, tuple(opened.schema_arrow.names))
            batches = opened.iter_batches(batch_size=ROWS, columns=list(columns))
            chunks = ({name: _values(batch.column(name), name, file) for name in columns} for batch in batches)
            return _log(chunks, naming, Collector(most), duplicates, seed)
    except FileNotFoundError:
        raise DataError(f"data file {file} does not exist; check the folder") from None
    except (OSError, damage) as error:
        raise DataError(f"data file {file} cannot be read as Parquet ({error}): replace it") from error


def texts_of(file: Path, item: str, parts: Sequence[str], dialect: Dialect = CSV) -> dict[str, str]:
    """The text of each item: the columns `parts` that are not blank, parted by full stops. DataError as `read_csv`."""
    texts: dict[str, str] = {}
    for chunk in read_chunks(file, (item, *parts), dialect):
        for name, *said in zip(chunk[item], *(chunk[part] for part in parts), strict=True):
            texts[name] = ". ".join(text.strip() for text in said if text.strip())
    return texts


def _columns(file: Path, naming: Naming, known: Sequence[str]) -> tuple[str, ...]:
    missing = [name for name in (naming.user, naming.item) if name not in known]
    if missing:
        raise DataError(
            f"data file {file} has the columns {', '.join(known) or 'none'}; wanted also {', '.join(missing)}: name "
            "the columns that hold users and items"
        )
    optional = [name for name in (naming.time, naming.rating) if name in known and name is not None]
    return (naming.user, naming.item, *optional)


def _log(
    chunks: Iterator[Mapping[str, Ids]], naming: Naming, collector: Collector, duplicates: Duplicates, seed: int
) -> EventLog:
    for chunk in chunks:
        collector.add(
            chunk[naming.user],
            chunk[naming.item],
            chunk.get(naming.time) if naming.time is not None else None,
            chunk.get(naming.rating) if naming.rating is not None else None,
        )
    return EventLog.of_collected(collector, duplicates=duplicates, seed=seed)


def _values(column: Any, name: str, file: Path) -> Ids:
    if column.null_count:
        raise DataError(f"column {name!r} of data file {file} has {column.null_count} empty cells; wanted none")
    if str(column.type).startswith(("timestamp", "date")):
        raise DataError(f"column {name!r} of data file {file} holds {column.type}; wanted seconds as numbers: cast it")
    values: Ids = column.to_numpy(zero_copy_only=False)
    return values


def _pyarrow() -> tuple[ModuleType, type[Exception]]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise DataError(
            "Parquet files need pyarrow, which is not installed: pip install 'persona-edge[data]'"
        ) from None
    return parquet, pa.ArrowException
