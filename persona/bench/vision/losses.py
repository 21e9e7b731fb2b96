"""Where it loses: every setting, timing and measure in which another row is ahead of ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from persona.bench.pages import markdown
from persona.bench.vision.intervals import on_common, paired_interval
from persona.bench.vision.roles import OURS_ROW, is_ours, label
from persona.bench.vision.summary import Cell, Table
from persona.errors import DataError

_MEASURES: Mapping[str, Callable[[Cell], float]] = {
    "mean": lambda cell: cell.mean,
    "10th percentile": Cell.low_decile,
    "worst device": Cell.worst,
    "first window": lambda cell: cell.after_shift,
}


def losses_table(table: Table) -> str:
    """Return the row that is furthest ahead of ours wherever one is, other methods and our own variants apart."""
    lines = []
    for setting, timings in table.items():
        for timing, cells in timings.items():
            for measure in _MEASURES:
                lines += _ahead(cells, (setting, timing, measure))
    head = ["setting", "timing", "measure", "furthest ahead", "ours minus it, points", "rows ahead"]
    return markdown(head, lines) if lines else ""


def behind(ours: Cell, theirs: Cell, measure: str) -> float:
    """Return ours minus theirs in points on what both cover; NaN where there is nothing."""
    try:
        mine, other = on_common(ours, theirs)
    except DataError:
        return float("nan")
    return _MEASURES[measure](mine) - _MEASURES[measure](other)


def _ahead(cells: Mapping[str, Cell], where: tuple[str, str, str]) -> list[list[str]]:
    ours = cells.get(OURS_ROW)
    if ours is None:
        return []
    gaps = {name: behind(ours, cell, where[2]) for name, cell in cells.items() if name != OURS_ROW}
    lines = []
    for variant in (False, True):
        ahead = {name: gap for name, gap in gaps.items() if is_ours(name) == variant and gap < 0}
        if ahead:
            name = min(ahead, key=lambda name: ahead[name])
            shown = label(name) + (" (a variant of ours)" if variant else "")
            lines.append([*where, shown, _figure(ours, cells[name], where[2], ahead[name]), str(len(ahead))])
    return lines


def _figure(ours: Cell, theirs: Cell, measure: str, gap: float) -> str:
    if measure == "mean" and not math.isnan(gap):
        return str(paired_interval(ours, theirs))
    return f"{gap:+.1f}"
