"""Stored results → the tables of a page, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from persona.bench.pages import markdown
from persona.bench.vision.intervals import Difference, paired_interval
from persona.bench.vision.recovery import windows_to_recover
from persona.bench.vision.roles import (
    CONTROLS,
    MAIN,
    ORACLE,
    OURS_ROW,
    PROTOTYPES,
    STATIC,
    is_ours,
    label,
    main_settings,
)
from persona.bench.vision.summary import Cell, Table
from persona.errors import DataError


def accuracy_table(table: Table, settings: Sequence[str], timing: str = "same") -> str:
    """Return accuracy by row and setting, with the difference to the static net and its interval; "" where empty."""
    rows = rows_of(table, settings, timing)
    lines = [
        [_marked(table, settings, timing, row), *(_against_static(table, setting, timing, row) for setting in settings)]
        for row in rows
    ]
    return _with_notes(markdown(["row", *settings], lines), table, settings, timing) if lines else ""


def shift_table(table: Table, timing: str) -> str:
    """Return the hardest devices and what happens after a shift, by row; "" where empty."""
    settings = [setting for setting in ("iid-seen", "skew-seen") if setting in table]
    head = ["row"]
    for setting in settings:
        head += [
            f"{setting}: {what}" for what in ("10th percentile", "worst device", "first window", "windows to recover")
        ]
    lines = []
    for row in rows_of(table, settings, timing):
        line = [label(row)]
        for setting in settings:
            cell = table[setting][timing].get(row)
            figures = (
                [] if cell is None else [cell.low_decile(), cell.worst(), cell.after_shift, windows_to_recover(cell)]
            )
            line += [n(value) for value in figures] or [""] * 4
        lines.append(line)
    return markdown(head, lines) if lines else ""


def clean_table(table: Table) -> str:
    """Return what each row does to devices whose data never shifts, with the spread over seeds; "" where not stored."""
    cells = table.get("clean", {}).get("same", {})
    static = cells.get(STATIC)
    lines = []
    for row in rows_of(table, ["clean"], "same") if static is not None else []:
        difference = _difference(cells[row], static)
        if row != STATIC and difference is not None:
            seeds = ", ".join(f"{seed:+.1f}" for seed in difference.seeds)
            lines.append([label(row), str(difference), seeds, "yes" if difference.mean < 0 else "no"])
    return markdown(["row", "minus static, points", "by training seed", "harm"], lines) if lines else ""


def prototype_table(table: Table) -> str:
    """Return accuracy with K prototypes and without, prior term off; "" where no such row is stored."""
    names = {f"{OURS_ROW}-k{k}-no-prior": str(k) for k in PROTOTYPES} | {f"{OURS_ROW}-no-prior": "none: whole codes"}
    settings = main_settings(table)
    lines = [
        [shown, *(_against_static(table, setting, "same", name) for setting in settings)]
        for name, shown in names.items()
        if any(name in table[setting]["same"] for setting in settings)
    ]
    return markdown(["prototypes", *settings], lines) if lines else ""


def rows_of(table: Table, settings: Sequence[str], timing: str) -> list[str]:
    """Return the rows of settings: static first, peers from worst to best, the oracle, controls, then ours."""
    found = {name for setting in settings if setting in table for name in table[setting][timing]}

    def place(name: str) -> tuple[int, float, str]:
        role = 4 if is_ours(name) else 3 if name in CONTROLS else 2 if name == ORACLE else 0 if name == STATIC else 1
        means = [table[s][timing][name].mean for s in settings if s in table and name in table[s][timing]]
        order = -1.0 if role == 4 and name == OURS_ROW else 0.0 if role == 4 else means[0]
        return role, order, name

    return sorted(found, key=place)


def other_settings(table: Table) -> list[str]:
    """Return the settings that are neither main ones nor of one family."""
    return [setting for setting in table if setting not in MAIN and not setting.startswith("family-")]


def n(value: float) -> str:
    """Return a figure to one decimal, nothing where there is none."""
    return "" if math.isnan(value) else f"{value:.1f}"


def _against_static(table: Table, setting: str, timing: str, row: str) -> str:
    cells: Mapping[str, Cell] = table.get(setting, {}).get(timing, {})
    if row not in cells:
        return ""
    figure = f"**{cells[row].mean:.1f}**" if row == OURS_ROW else f"{cells[row].mean:.1f}"
    difference = _difference(cells[row], cells.get(STATIC)) if row != STATIC else None
    return figure if difference is None else f"{figure} ({difference})"


def _difference(cell: Cell, static: Cell | None) -> Difference | None:
    try:
        return None if static is None else paired_interval(cell, static)
    except DataError:  # run on other seeds alone: a figure, but nothing to hold it against
        return None


def _fewer(table: Table, settings: Sequence[str], timing: str, row: str) -> str:
    """Return which seeds a row is on where others of the same setting are on more, "" where it is on all."""
    for setting in settings:
        cells = table.get(setting, {}).get(timing, {})
        if row not in cells:
            continue
        streams = {stream for cell in cells.values() for stream in cell.streams}
        trains = {train for cell in cells.values() for train in cell.trains}
        cell = cells[row]
        if set(cell.streams) < streams or set(cell.trains) < trains:
            return f"stream seeds {_listed(cell.streams)}, training seeds {_listed(cell.trains)}"
    return ""


def _listed(seeds: Iterable[int]) -> str:
    return ", ".join(str(seed) for seed in seeds)


def _marked(table: Table, settings: Sequence[str], timing: str, row: str) -> str:
    return label(row) + (" †" if _fewer(table, settings, timing, row) else "")


def _with_notes(lines: str, table: Table, settings: Sequence[str], timing: str) -> str:
    notes = [
        f"{label(row)} on {fewer}"
        for row in rows_of(table, settings, timing)
        if (fewer := _fewer(table, settings, timing, row))
    ]
    if not notes:
        return lines
    return f"{lines}\n\n† On fewer streams, and compared on those alone: {'; '.join(notes)}."
