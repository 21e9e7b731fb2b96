"""Logs of which only the order is known: a line of items a user, or each event's place in its user's history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from persona.tasks.recommendation.collecting import Collector
from persona.tasks.recommendation.events import EventLog
from persona.tasks.recommendation.readers.delimited import read_chunks


def read_sequences(file: Path) -> EventLog:
    """The log of a table ``user_id, item_ids``: item ids oldest first, parted by spaces. DataError as `read_csv`."""
    collector = Collector()
    for chunk in read_chunks(file, ("user_id", "item_ids")):
        items = [line.split() for line in chunk["item_ids"]]
        users = np.repeat(np.asarray(chunk["user_id"], dtype=object), [len(line) for line in items])
        collector.add(users, [item for line in items for item in line])
    return EventLog.of_collected(collector)


def in_given_order(
    users: npt.NDArray[Any], items: npt.NDArray[Any], places: npt.NDArray[np.int64], ratings: npt.NDArray[Any]
) -> EventLog:
    """The log of events that each name their place among their user's events; equal places keep the order given."""
    order = np.argsort(places, kind="stable")
    return EventLog.of(users[order], items[order], ratings=ratings[order])
