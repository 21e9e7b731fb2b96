"""Targets and their verdicts: what a benchmark holds itself to, and whether stored results say so.

One list for every benchmark: a vision target, and later one of any other, is a `Verdict` among others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.table import Table
from rich.text import Text

Outcome = Literal["met", "missed", "not measured"]
_COLOURS = {"met": "green", "missed": "red", "not measured": "yellow"}


@dataclass(frozen=True)
class Verdict:
    """One target: what is asked, what was found, its 95 % interval ("" where there is none), and how that compares."""

    target: str
    asked: str
    found: str
    interval: str
    outcome: Outcome


def all_met(verdicts: Sequence[Verdict]) -> bool:
    """Return whether there are verdicts, and every target is met: one that nothing measured is not."""
    return bool(verdicts) and all(verdict.outcome == "met" for verdict in verdicts)


def counts_of(verdicts: Sequence[Verdict]) -> str:
    """Return how many are met, missed and not measured, as a sentence."""
    counts = {outcome: sum(v.outcome == outcome for v in verdicts) for outcome in _COLOURS}
    return f"Of {len(verdicts)}: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) + "."


def table_of(verdicts: Sequence[Verdict]) -> Table:
    """Return verdicts as a table for the terminal."""
    table = Table(title="Targets", caption=counts_of(verdicts))
    for name in ("target", "asked", "found", "95 % interval", "verdict"):
        table.add_column(name)
    for v in verdicts:
        plain = [Text(cell) for cell in (v.target, v.asked, v.found, v.interval)]
        table.add_row(*plain, Text(v.outcome, style=_COLOURS[v.outcome]))
    return table
