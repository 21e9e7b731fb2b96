"""Text tables, gzipped or not, a chunk of rows at a time, so that a file may be larger than memory."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from persona.errors import DataError

ROWS = 1 << 16  # rows at a time
LONGEST_LINE = 1 << 20  # characters; a line beyond that is not a table's
LONGEST_FIELD = 1 << 20

Chunk = dict[str, Sequence[str]]  # column name → values, all of one length


@dataclass(frozen=True)
class Dialect:
    """How a file is laid out: what parts its fields, its columns where it has no header, and how letters are coded."""

    delimiter: str = ","
    columns: tuple[str, ...] | None = None
    encoding: str = "utf-8"
    quoted: bool = True


CSV = Dialect()


def read_chunks(file: Path, wanted: Sequence[str] = (), dialect: Dialect = CSV) -> Iterator[Chunk]:
    """The columns `wanted` (all, where none is named) of a table, some 65,000 rows at a time.

    DataError where the file is absent or damaged, a column is missing, or a row has too few or too many fields.
    """
    try:
        with _opened(file, dialect) as stream:
            rows = _rows(stream, file, dialect)
            header = dialect.columns or next(rows, None)
            if header is None:
                raise DataError(f"data file {file} is empty; wanted a first line that names its columns")
            yield from _chunks(rows, file, tuple(header), tuple(wanted))
    except FileNotFoundError:
        raise DataError(f"data file {file} does not exist; check the folder") from None
    except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"data file {file} cannot be read ({error}): replace it with an undamaged copy") from error


def header_of(file: Path, dialect: Dialect = CSV) -> tuple[str, ...]:
    """The names in the first line. DataError as from `read_chunks`."""
    try:
        with _opened(file, dialect) as stream:
            return tuple(next(_rows(stream, file, dialect), ()))
    except FileNotFoundError:
        raise DataError(f"data file {file} does not exist; check the folder") from None
    except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"data file {file} cannot be read ({error}): replace it with an undamaged copy") from error


def first_of(folder: Path, *names: str) -> Path:
    """The first of `names`, or of the same with ``.gz``, that a folder holds. DataError where it has none."""
    for name in names:
        for file in (folder / name, folder / f"{name}.gz"):
            if file.is_file():
                return file
    raise DataError(f"folder {folder} has none of {', '.join(names)}, nor one with .gz; wanted the data set's files")


def _opened(file: Path, dialect: Dialect) -> IO[str]:
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding=dialect.encoding, newline="")
    return file.open(encoding=dialect.encoding, newline="")


def _rows(stream: IO[str], file: Path, dialect: Dialect) -> Iterator[list[str]]:
    lines = _lines(stream, file)
    if len(dialect.delimiter) > 1:  # MovieLens parts fields by "::"
        return (line.rstrip("\r\n").split(dialect.delimiter) for line in lines if line.strip())
    csv.field_size_limit(LONGEST_FIELD)
    if dialect.quoted:
        return (row for row in csv.reader(lines, delimiter=dialect.delimiter) if row)
    return (row for row in csv.reader(lines, delimiter=dialect.delimiter, quoting=csv.QUOTE_NONE) if row)


def _lines(stream: IO[str], file: Path) -> Iterator[str]:
    while line := stream.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise DataError(f"data file {file} has a line of over {LONGEST_LINE:,} characters; is it a table of text?")
        yield line


def _chunks(rows: Iterator[list[str]], file: Path, header: tuple[str, ...], wanted: tuple[str, ...]) -> Iterator[Chunk]:
    missing = [name for name in wanted if name not in header]
    if missing:
        raise DataError(f"data file {file} has the columns {', '.join(header)}; wanted also {', '.join(missing)}")
    places = {name: header.index(name) for name in wanted or header}
    kept: list[list[str]] = []
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise DataError(
                f"row {number} of data file {file} has {len(row)} fields; wanted {len(header)}, as many as columns"
            )
        kept.append(row)
        if len(kept) == ROWS:
            yield _columns(kept, places)
            kept = []
    if kept:
        yield _columns(kept, places)


def _columns(rows: list[list[str]], places: dict[str, int]) -> Chunk:
    columns = list(zip(*rows, strict=True))
    return {name: columns[place] for name, place in places.items()}
