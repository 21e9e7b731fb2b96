"""MovieLens 100K and 1M, from the files GroupLens publishes or from common rearrangements of them.

Source: https://grouplens.org/datasets/movielens/ (research use; not to be redistributed).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from persona.errors import DataError
from persona.tasks.recommendation.events import EventLog
from persona.tasks.recommendation.readers.atomic import read_atomic
from persona.tasks.recommendation.readers.delimited import Dialect, first_of, read_chunks
from persona.tasks.recommendation.readers.sequences import in_given_order
from persona.tasks.recommendation.readers.tables import read_delimited, texts_of
from persona.tasks.recommendation.readers.vectors import read_vectors

COLUMNS = ("user_id", "item_id", "rating", "timestamp")
TABS = Dialect("\t", COLUMNS, quoted=False)
COLONS = Dialect("::", COLUMNS)
FILMS_1M = Dialect("::", ("item_id", "title", "genres"), encoding="latin-1")
GENRES_100K = 19  # flags behind a film's title, dates and address
FILMS_100K = Dialect(
    "|", ("item_id", "title", "released", "video", "address", *map(str, range(GENRES_100K))), "latin-1", quoted=False
)
VECTORS_1M = "title_genre_minilm.npz"


def movielens_100k(folder: Path) -> EventLog:
    """100,000 ratings of 943 users, with times and titles: ``u.data`` and ``u.item``, or ``ml-100k.inter`` and .item.

    DataError where neither is there, or a file is damaged.
    """
    if (folder / "u.data").is_file():
        log = read_delimited(folder / "u.data", TABS)
        titles = folder / "u.item"
        return log.with_texts(texts_of(titles, "item_id", ("title",), FILMS_100K)) if titles.is_file() else log
    return read_atomic(first_of(folder, "ml-100k.inter"))


def movielens_1m(folder: Path) -> EventLog:
    """A million ratings of 6,040 users: ``ratings.dat`` with times, or ``ratings.csv`` with each event's place alone.

    The latter has columns user_id, movie_id, rating and seq_pos, 0 where the place is unknown: those are left out (598
    of the 1,000,209 rows, films with fewer than five ratings). Titles and genres from ``movies.dat`` and vectors from
    ``title_genre_minilm.npz`` where they lie there.
    """
    if (folder / "ratings.dat").is_file():
        log = read_delimited(folder / "ratings.dat", COLONS)
    else:
        log = _placed(first_of(folder, "ratings.csv"))
    if (folder / "movies.dat").is_file():
        log = log.with_texts(texts_of(folder / "movies.dat", "item_id", ("title", "genres"), FILMS_1M))
    return log.with_vectors(*read_vectors(folder / VECTORS_1M, "movie_id")) if (folder / VECTORS_1M).is_file() else log


def _placed(file: Path) -> EventLog:
    columns: list[np.ndarray] = []
    for chunk in read_chunks(file, ("user_id", "movie_id", "rating", "seq_pos")):
        try:
            numbers = [
                np.asarray(chunk[name]).astype(np.int64) for name in ("user_id", "movie_id", "rating", "seq_pos")
            ]
        except (ValueError, OverflowError) as error:
            raise DataError(f"data file {file} has something else than whole numbers ({error}); replace it") from None
        columns.append(np.stack(numbers))
    if not columns:
        raise DataError(f"data file {file} has no rows; replace it")
    users, films, ratings, places = np.concatenate(columns, axis=1)
    known = places > 0
    return in_given_order(users[known], films[known], places[known], ratings[known])
