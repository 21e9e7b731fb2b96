"""A small log with times, as a reader of one's own gives it."""

from pathlib import Path

from persona.tasks.recommendation.events import EventLog
from persona.tasks.recommendation.synthetic import WorldShape, make_world


def tiny(path: Path) -> EventLog:
    """Users of a drift world, whose histories are shorter and longer than a device's window."""
    shape = WorldShape(users=40, items=60, interests=3, events=24, dwell=8, drift_at=0.6)
    return make_world(shape, seed=0).log


def brief(path: Path) -> EventLog:
    """The same, of users who have met six items."""
    return make_world(WorldShape(users=20, items=60, interests=3, events=6, dwell=3, drift_at=None), seed=0).log
