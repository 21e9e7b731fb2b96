"""Targets and their verdicts: what a benchmark holds itself to, and whether stored results say so.

One list for every benchmark: a target of any of them is a `Verdict` among others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from rich.table import Table
from rich.text import Text

from persona.errors import DataError

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


class Missing(Exception):
    """A figure that no stored result gives."""


class Judged(NamedTuple):
    """A figure in words, its interval ("" where there is none), and whether it meets what is asked.

    `unsure` names what was not run and could yet turn a target that is met into one that is missed.
    """

    found: str
    interval: str
    met: bool
    unsure: str = ""


def verdict_of(target: str, asked: str, judge: Callable[[], Judged]) -> Verdict:
    """Return the verdict that a judge comes to; it raises Missing or DataError where that is "not measured"."""
    try:
        judged = judge()
    except Missing as missing:
        return Verdict(target, asked, f"no result for {missing}", "", "not measured")
    except DataError as error:  # rows on seeds that have nothing in common
        return Verdict(target, asked, str(error), "", "not measured")
    if judged.met and judged.unsure:
        found = f"{judged.found}; not run: {judged.unsure}"
        return Verdict(target, asked, found, judged.interval, "not measured")
    return Verdict(target, asked, judged.found, judged.interval, "met" if judged.met else "missed")


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
