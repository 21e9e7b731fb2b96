"""Ablations: a table for each group of choices, and whether the default choice earns its keep."""

from __future__ import annotations

from collections.abc import Sequence

from persona.bench.pages import markdown
from persona.bench.vision.intervals import Difference, mean_interval, paired_interval
from persona.bench.vision.results import Ablations
from persona.bench.vision.roles import main_settings
from persona.bench.vision.summary import Table
from persona.errors import DataError


def ablation_sections(ablations: Ablations) -> list[str]:
    """Return a heading, a table and a sentence for each group, in the order of their names."""
    table, parts = ablations.table, []
    groups: dict[str, list[str]] = {}
    for name in sorted({name for timings in table.values() for name in timings["same"]}):
        group, _, choice = name.partition("/")
        groups.setdefault(group, []).append(choice)
    for group, choices in groups.items():
        default, settings = ablations.defaults.get(group), _settings(table, group)
        parts += [f"#### {group}", _table(table, settings, group, (choices, default)), sentence(ablations, group)]
    return parts


def sentence(ablations: Ablations, group: str) -> str:
    """Return whether a group's default is ahead of every other choice, on the mean of the settings that shift."""
    table, default = ablations.table, ablations.defaults.get(group)
    if default is None:
        return "No choice of this group is stored as the default, so there is nothing to compare with."
    settings = [setting for setting in _settings(table, group) if setting != "clean"]
    found = {choice: gain for choice in _others(ablations, settings, group)
             if (gain := _gain(table, settings, group, (default, choice))) is not None}  # fmt: skip
    if not found:
        return f"Nothing is stored beside `{default}`."
    best = min(found, key=lambda choice: found[choice].mean)
    gain = found[best]
    against = f"{gain} points against `{best}`, the best other choice, on the mean of {', '.join(settings)}"
    if gain.low > 0:
        return f"`{default}` earns its keep: {against}."
    if gain.high < 0:
        return f"`{default}` does not earn its keep, and costs: {against}."
    return f"`{default}` does not earn its keep here: {against}; the interval is not above 0."


def _settings(table: Table, group: str) -> list[str]:
    """Return the settings that a group was run in, the main ones first."""
    found = [s for s, timings in table.items() if any(name.startswith(f"{group}/") for name in timings["same"])]
    main = main_settings(found)
    return [*main, *(setting for setting in found if setting not in main)]


def _others(ablations: Ablations, settings: Sequence[str], group: str) -> list[str]:
    names = {name for setting in settings for name in ablations.table[setting]["same"] if name.startswith(f"{group}/")}
    apart = {f"{group}/{ablations.defaults[group]}"} | ablations.references
    return sorted(name.removeprefix(f"{group}/") for name in names - apart)


def _gain(table: Table, settings: Sequence[str], group: str, pair: tuple[str, str]) -> Difference | None:
    names = [f"{group}/{choice}" for choice in pair]
    both = [table[setting]["same"] for setting in settings if all(name in table[setting]["same"] for name in names)]
    try:
        return mean_interval([(cells[names[0]], cells[names[1]]) for cells in both])
    except DataError:  # no setting, or no seed, in common
        return None


def _table(table: Table, settings: Sequence[str], group: str, choices: tuple[list[str], str | None]) -> str:
    names, default = choices
    lines = []
    for choice in sorted(names, key=lambda name: (name != default, name)):
        mark = " (default)" if choice == default else ""
        lines.append(
            [f"`{choice}`{mark}", *(_cell(table, s, f"{group}/{choice}", f"{group}/{default}") for s in settings)]
        )
    return markdown(["choice", *settings], lines)


def _cell(table: Table, setting: str, name: str, default: str) -> str:
    cells = table[setting]["same"]
    if name not in cells:
        return ""
    figure = f"{cells[name].mean:.1f}"
    if name == default or default not in cells:
        return figure
    try:
        return f"{figure} ({paired_interval(cells[name], cells[default])})"
    except DataError:  # run on other seeds than the default
        return figure
