"""Logs of which only the order is known: a line of items a user, or each event's place in its user's history."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from persona.tasks.recommendation.collecting import Collector, Ids
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


def in_given_order(users: Ids, items: Ids, places: Ids, ratings: Ids | None = None) -> EventLog:
    """The log of events that each name their place among their user's events; equal places keep the order given."""
    order = np.argsort(np.asarray(places), kind="stable")
    chosen = [None if column is None else np.asarray(column)[order] for column in (users, items, ratings)]
    sorted_users, sorted_items, sorted_ratings = chosen
    assert sorted_users is not None
    assert sorted_items is not None
    return EventLog.of(sorted_users, sorted_items, ratings=sorted_ratings)
