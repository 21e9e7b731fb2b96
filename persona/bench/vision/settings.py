"""The settings of the benchmark by name: which streams the devices meet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from persona.bench.vision.plan import Plan
from persona.bench.vision.roles import MAIN
from persona.errors import DataError
from persona.tasks.vision.corruptions import corruption_streams
from persona.tasks.vision.datasets import MnistTask
from persona.tasks.vision.gradual import gradual_streams
from persona.tasks.vision.rotated import rotated_streams
from persona.tasks.vision.shifts import FAMILIES, Family
from persona.tasks.vision.streams import ORDER, StreamShape, Window, make_streams
from persona.tasks.vision.task import ImageTask

Streams = Sequence[Iterable[Window]]
Draw = Callable[[ImageTask, Plan, int], Streams]
Labels = Literal["iid", "skew"]


def _private(split: Literal["seen", "held", "clean"], labels: Labels) -> Draw:
    def draw(task: ImageTask, plan: Plan, seed: int) -> Streams:
        return make_streams(task.images.test, split, plan.devices, seed, shape_of(plan, labels))

    return draw


def _one_family(family: Family) -> Draw:
    """Devices that meet one family alone: nowhere may it be worse than the static net."""
    alone = {family.name: replace(family, split="held")}

    def draw(task: ImageTask, plan: Plan, seed: int) -> Streams:
        few = max(plan.devices // 5, 1)
        return make_streams(task.images.test, "held", few, seed, shape_of(plan, "iid"), alone)

    return draw


def _gradual(task: ImageTask, plan: Plan, seed: int) -> Streams:
    longer = replace(shape_of(plan, "iid"), windows_per_segment=2 * plan.windows)
    return gradual_streams(task.images.test, "seen", plan.devices // 2 or 1, seed, longer)


def _corrupted(setting: str) -> Draw:
    def draw(task: ImageTask, plan: Plan, seed: int) -> Streams:
        few = max(plan.devices // 5, 1)
        return corruption_streams(task.images.test, setting, few, seed, shape_of(plan, "iid"))

    return draw


def _real(task: ImageTask, plan: Plan, seed: int) -> Streams:
    """Devices that meet the real other writers of a data set, unshifted."""
    if not isinstance(task, MnistTask):
        raise DataError("the setting 'usps' streams the real target of MNIST; run it with data 'mnist'")
    return make_streams(task.real_target(), "clean", plan.devices, seed, shape_of(plan, "iid"))


def _rotated(task: ImageTask, plan: Plan, seed: int) -> Streams:
    shape = shape_of(plan, "iid")
    return rotated_streams(task.images.test, len(ORDER) * shape.segment_size, seed, shape)


def shape_of(plan: Plan, labels: Labels) -> StreamShape:
    """Return the plan's stream shape with even or skewed labels."""
    return StreamShape(plan.windows, plan.window_size, labels)


SETTINGS: Mapping[str, Draw] = {
    "iid-seen": _private("seen", "iid"),
    "skew-seen": _private("seen", "skew"),
    "iid-held": _private("held", "iid"),
    "skew-held": _private("held", "skew"),
    "clean": _private("clean", "iid"),
    "gradual": _gradual,
    "rotated": _rotated,
    "usps": _real,
    **{f"c-{name}": _corrupted(name) for name in ("continual", "mixed", "correlated", "mixed-correlated")},
    **{f"family-{f.name}": _one_family(f) for f in FAMILIES.values()},
}


def settings_for(data: str, *, quick: bool = False) -> tuple[str, ...]:
    """Return the settings that a data set is run in where none are named: all of them for Fashion-MNIST."""
    if quick:
        return MAIN[:2]
    if data.startswith("pacs"):
        return ("clean",)  # the domain held out is shift enough
    if data == "mnist":
        return (*MAIN, "usps")
    if data == "cifar10":
        return MAIN
    return tuple(name for name in SETTINGS if name != "usps")
