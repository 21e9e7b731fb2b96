"""Amazon reviews, as six folders hold them: sequences alone, with times, or by period with text.

Source: the review data of McAuley's group, 2014 and 2018 (research use).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from persona.errors import DataError
from persona.tasks.recommendation.events import EventLog
from persona.tasks.recommendation.readers.delimited import first_of, header_of, read_chunks
from persona.tasks.recommendation.readers.sequences import read_sequences
from persona.tasks.recommendation.readers.tables import Naming, read_csv, texts_of
from persona.tasks.recommendation.readers.vectors import read_vectors

VECTORS = "title_minilm.npz"
PERIODS = {"early": 0, "mid": 1, "late": 2}
STEP_S, PERIOD_S = 86_400, 10**9  # what one place and one period count as, see `amazon_office`
OFFICE_MID, OFFICE_LATE = PERIOD_S, 2 * PERIOD_S  # where to cut: temporal_at(log, OFFICE_MID, OFFICE_LATE)


def amazon_sequences(folder: Path) -> EventLog:
    """Beauty, Toys, Instruments: ``sequences.csv`` (user_id, item_ids), order alone.

    Texts from the columns title and keywords of ``items.csv``, vectors from ``title_minilm.npz``, where they are there.
    """
    log = _with_items(read_sequences(first_of(folder, "sequences.csv")), folder, ("title", "keywords"))
    return log.with_vectors(*read_vectors(folder / VECTORS)) if (folder / VECTORS).is_file() else log


def amazon_timed(folder: Path) -> EventLog:
    """Grocery and HIN: ``interactions.csv`` (user_id, item_id, time) or ``ratings.csv`` (…, rating, timestamp).

    Times are whole days, so ties are many.
    """
    if (folder / "ratings.csv").is_file() or (folder / "ratings.csv.gz").is_file():
        return read_csv(first_of(folder, "ratings.csv"))
    return read_csv(first_of(folder, "interactions.csv"), Naming(time="time", rating=None))


def amazon_office(folder: Path) -> EventLog:
    """Office: ``interactions.csv`` (user_id, item_id, seq_pos, period) and texts from ``items.csv``.

    The source knows each user's order and, across users, only whether an event is early, mid or late. Times here say
    just that: 10⁹ s a period and a day a place. Cut them with ``temporal_at(log, OFFICE_MID, OFFICE_LATE)``; their
    differences are no real durations.
    """
    file = first_of(folder, "interactions.csv")
    users: list[str] = []
    items: list[str] = []
    times: list[int] = []
    for chunk in read_chunks(file, ("user_id", "item_id", "seq_pos", "period")):
        users += chunk["user_id"]
        items += chunk["item_id"]
        for place, period in zip(chunk["seq_pos"], chunk["period"], strict=True):
            if period not in PERIODS or not _is_place(place):
                raise DataError(
                    f"data file {file} has an event at place {place!r} of period {period!r}; wanted a place from 1 to "
                    f"{PERIOD_S // STEP_S} and one of {', '.join(PERIODS)}"
                )
            times.append(PERIODS[period] * PERIOD_S + int(place) * STEP_S)
    return _with_items(
        EventLog.of(users, items, np.asarray(times, np.int64)), folder, ("title", "brand", "description")
    )


def _is_place(text: str) -> bool:
    return text.isdecimal() and len(text) < 10 and int(text) * STEP_S < PERIOD_S  # Python refuses thousands of digits


def _with_items(log: EventLog, folder: Path, parts: tuple[str, ...]) -> EventLog:
    file = next((file for file in (folder / "items.csv", folder / "items.csv.gz") if file.is_file()), None)
    if file is None:
        return log
    known = header_of(file)
    said = [part for part in parts if part in known]
    return log.with_texts(texts_of(file, "item_id", said)) if said else log
