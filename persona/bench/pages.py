"""What the pages of benchmarks share: tables in Markdown, targets with their verdicts, notes that are taken in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from persona.bench.verdict import Verdict, counts_of


def markdown(head: Iterable[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    head = list(head)
    return "\n".join(["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *lines)])


def targets(verdicts: Sequence[Verdict]) -> str:
    """Return how many targets are met, and a table of all."""
    lines = [[v.target, v.asked, v.found, v.interval, f"**{v.outcome}**"] for v in verdicts]
    return counts_of(verdicts) + "\n\n" + markdown(["target", "asked", "found", "95 % interval", "verdict"], lines)


def read_notes(path: Path) -> str:
    """Return the text on what was tried, "" where there is no such file."""
    return path.read_text(encoding="utf-8") if path.exists() else ""
