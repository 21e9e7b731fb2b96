"""A folder of results → what a page and its verdicts are made of, one `Stored` for each data set and backbone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from persona.bench.vision.roles import PRIMARY
from persona.bench.vision.store import Unit, read_costs
from persona.bench.vision.summary import Table, read_units, table_of
from persona.errors import DataError

ABLATIONS = "-ablations"


@dataclass(frozen=True)
class Ablations:
    """Rows named "group/choice", each group's default choice, and rows that are a ceiling rather than a choice."""

    table: Table
    defaults: Mapping[str, str] = field(default_factory=dict)
    references: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Stored:
    """Everything of one data set and backbone: cells, costs by row, circumstances, ablations where there are any."""

    name: str
    table: Table
    costs: Mapping[str, Mapping[str, float]]
    about: Mapping[str, list[Any]]
    ablations: Ablations | None = None


def load_results(root: Path) -> dict[str, Stored]:
    """Return what lies under ROOT/<data>/<backbone>, the primary one first; DataError for nothing, or damaged files."""
    found: dict[str, Stored] = {}
    folders = [path for path in sorted(root.glob("*/*")) if path.is_dir() and not path.name.endswith(ABLATIONS)]
    for folder in sorted(folders, key=lambda path: _name(path) != PRIMARY):
        units = read_units(folder)
        if units:
            ablations = _ablations(folder.with_name(folder.name + ABLATIONS))
            found[_name(folder)] = Stored(_name(folder), table_of(units), read_costs(folder), about(units), ablations)
    if not found:
        raise DataError(f"{root} holds no results; `persona bench vision` writes some")
    return found


def about(units: Mapping[Unit, Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the different plans, commits, machines and versions that units were made with, and their seeds."""
    facts: dict[str, list[Any]] = {
        "train": sorted({unit.train for unit in units}),
        "stream": sorted({unit.stream for unit in units}),
    }
    for name in ("plan", "pictures", "commit", "machine", "versions"):
        facts[name] = []
        for content in units.values():
            if name in content and content[name] not in facts[name]:
                facts[name].append(content[name])
    return facts


def _name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def _ablations(folder: Path) -> Ablations | None:
    units = read_units(folder)
    if not units:
        return None
    defaults, references = {}, set()
    for content in units.values():
        for name, row in content["rows"].items():
            group, _, choice = name.partition("/")
            if row.get("default"):
                defaults[group] = choice
            if row.get("reference"):
                references.add(name)
    return Ablations(table_of(units), defaults, frozenset(references))
