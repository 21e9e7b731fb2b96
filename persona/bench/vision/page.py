"""Stored results → ``docs/benchmarks.md`` and its plots. Every figure on the page comes from a stored file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from persona.bench.pages import read_notes, targets
from persona.bench.vision.ablations import ablation_sections
from persona.bench.vision.losses import losses_table
from persona.bench.vision.plan import Plan
from persona.bench.vision.plots import PLOTS, holds, plot
from persona.bench.vision.prices import cost_table
from persona.bench.vision.results import Stored, load_results
from persona.bench.vision.roles import main_settings
from persona.bench.vision.tables import (
    accuracy_table,
    clean_table,
    other_settings,
    prototype_table,
    shift_table,
)
from persona.bench.vision.verdict import verdicts
from persona.files import write_together


def write_page(results: Path, out: Path, notes: Path) -> None:
    """Write the page to `out` and its plots to a folder beside it of the same stem.

    `notes` is a file whose text is taken in as it is, where it exists. DataError where there are no results or damaged
    ones, ExportError where the files cannot be written.
    """
    stored = load_results(results)
    files = {out: page(stored, read_notes(notes)).encode()}
    for one in stored.values():
        for kind in PLOTS:
            drawn = plot(one, kind)
            if drawn is not None:
                files[out.parent / _plot_path(out.stem, one.name, kind)] = drawn
    (out.parent / out.stem).mkdir(parents=True, exist_ok=True)
    write_together(files)


def page(stored: Mapping[str, Stored], notes: str = "", stem: str = "benchmarks") -> str:
    """Return the whole page; `notes` what was tried, in words; `stem` the folder of its plots."""
    parts = [_HEAD, "## Targets", targets(verdicts(stored))]
    for one in stored.values():
        parts += [f"## {one.name}", reproduce(one), circumstances(one.about)]
        for title, lines in _sections(one):
            if lines:
                parts += [f"### {title}", lines]
        for kind, caption in PLOTS.items():
            if holds(one, kind):
                parts.append(f"![{caption}]({_plot_path(stem, one.name, kind)})")
        if one.ablations is not None:
            parts += ["### Ablations", _ABLATIONS, *ablation_sections(one.ablations)]
    if notes:
        parts += ["## What was tried", notes.strip()]
    return "\n\n".join(parts) + "\n"


def reproduce(stored: Stored) -> str:
    """Return the command that makes one data set's results again, given the folder with its files."""
    data, _, backbone = stored.name.partition("/")
    plans = stored.about.get("plan", [])
    name = plans[0].get("data", data) if plans else data
    small = " --small" if plans and plans[0].get("steps") == Plan().small().steps else ""
    return f"`persona bench vision --data {name} --backbone {backbone} --folder FOLDER{small}`"


def circumstances(about: Mapping[str, Sequence[Any]]) -> str:
    """Return what the figures depend on: plan, seeds, commits, machines, versions."""
    lines = [f"Training seeds {_listed(about['train'])}; stream seeds {_listed(about['stream'])}."]
    lines += [f"Plan: {_plan(plan)}." for plan in about["plan"]]
    for title in ("pictures", "machine", "versions"):
        lines += [
            f"{title.capitalize()}: {', '.join(f'{k} {v}' for k, v in one.items())}." for one in about.get(title, ())
        ]
    if about["commit"]:
        lines.append(f"Commit {', '.join(str(commit)[:12] for commit in about['commit'])}.")
    return " ".join(lines)


def _plan(plan: Mapping[str, Any]) -> str:
    # Which seeds there are is said by the files themselves.
    return ", ".join(f"{name} {_listed(value)}" for name, value in plan.items() if not name.endswith("_seeds"))


def _sections(one: Stored) -> Iterator[tuple[str, str]]:
    table = one.table
    main, other = main_settings(table), other_settings(table)
    families = [setting for setting in table if setting.startswith("family-")]
    yield "Same window: the window that was used to adapt is predicted", accuracy_table(table, main)
    yield "Where it loses", losses_table(table)
    yield "The hardest devices, and what follows a shift", shift_table(table, "same")
    yield "Causal: a window is predicted with what was known before it", accuracy_table(table, main, "causal")
    yield "Causal: the hardest devices, and what follows a shift", shift_table(table, "causal")
    yield "Constant speed: a slow method misses windows", accuracy_table(table, main, "constant")
    yield "Harm where nothing shifts", clean_table(table)
    yield "Other settings, same window", accuracy_table(table, other)
    yield "Other settings, causal", accuracy_table(table, other, "causal")
    yield "One family at a time", accuracy_table(table, families)
    yield "Prototypes", prototype_table(table)
    costs = cost_table(one.costs)
    yield "Costs", costs and f"{_COSTS}\n\n{costs}"


def _plot_path(stem: str, name: str, kind: str) -> str:
    return f"{stem}/{name.replace('/', '-')}-{kind}.svg"


def _listed(value: Any) -> str:
    return ", ".join(str(each) for each in value) if isinstance(value, list | tuple) else str(value)


_HEAD = """# Benchmarks

Generated by `persona bench page` from the results under `benchmarks/results/vision`; do not edit.
`persona bench verdict` prints the targets alone, and fails while one is missed or not measured.

Accuracy in %. In parentheses: the difference to the static net in points on the same devices and training seeds, with
its 95 % interval by paired bootstrap over devices. Each row was given the same sampler of shifts and about as much time
to train: a step of an adapter costs about 1.5 plain ones, so that it has fewer of them (the plan says how many).
Settings of peers were chosen on validation streams, which share neither seeds nor pictures with these. The worst device
and the 10th percentile are of one run's devices, averaged over runs. Windows to recover: windows after a shift until
the mean is within 2 points of the later half of the segment."""
_COSTS = """One process, one thread, nothing beside it. The times of a step take in what the cloud does for it, and
learning from labels; everything else is the device's own part."""
_ABLATIONS = "In parentheses: the difference to the group's default, with its 95 % interval."
