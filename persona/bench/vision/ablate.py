"""Ablations: adapters trained with one thing changed, for fewer steps than the main rows, all for as many.

Each is kept and never trained again; its streams are those of the main run, in a folder beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from persona.bench.store import read_rows, write_rows
from persona.bench.vision.choices import DEFAULT, GROUPS, Choice
from persona.bench.vision.drive import follow
from persona.bench.vision.job import Job
from persona.bench.vision.ours import Edited
from persona.bench.vision.refinement import refinement_rows
from persona.bench.vision.roles import MAIN
from persona.bench.vision.run import packed, warm_up
from persona.bench.vision.settings import SETTINGS
from persona.bench.vision.store import Unit
from persona.bench.vision.workers import Told, add_done, count_step, spread
from persona.tasks.vision.streams import Window
from persona.training.step import Learner

SUFFIX = "-ablations"
DRIFT = "drift"


def ablate(job: Job, workers: int, told: Told) -> None:
    """Do what is missing: train every choice on the first training seed, stream it, and stream refinement.

    The first stream seed alone is streamed. Errors as of `run`.
    """
    choices = [DEFAULT, *(f"{group}/{name}" for group, name, choice in _all() if not choice.is_default)]
    trained = [(job, name) for name in choices]
    warming = job.plan.base_steps + job.plan.warm_steps
    spread(warm_up, [(job, job.plan.train_seeds[0])], workers).finish("training: the shared start", warming, told)
    spread(_train, trained, workers).finish("ablations: training", job.plan.ablation_steps * len(trained), told)
    spread(_stream, [(job, setting) for setting in MAIN], workers).finish(
        "ablations: streams", len(MAIN) * len(_all()), told
    )
    spread(_drift, [(job, stream) for stream in job.plan.stream_seeds], workers).finish(
        "refinement: streams", len(job.plan.stream_seeds), told
    )


def learner_of(job: Job, name: str) -> Learner:
    """Return the adapter of a choice, ``group/choice`` or "default", training it where it is not kept."""
    shop = job.shop(job.plan.train_seeds[0], count_step)
    config = shop.config()
    config = replace(config, schedule=replace(config.schedule, steps=job.plan.ablation_steps))
    group, _, choice = name.partition("/")
    recipe, changed = (Choice() if name == DEFAULT else GROUPS[group][choice]).apply(shop.recipe, config)
    return shop.adapter(f"ablations/{name.replace(' ', '-')}", recipe, changed)


def _all() -> list[tuple[str, str, Choice]]:
    return [(group, name, choice) for group, choices in GROUPS.items() for name, choice in choices.items()]


def _train(job: Job, name: str) -> None:
    learner_of(job, name)


def _stream(job: Job, setting: str) -> None:
    stream_seed = job.plan.stream_seeds[0]
    unit = Unit(job.plan.train_seeds[0], stream_seed, setting)
    path = unit.path(job.folder.with_name(job.folder.name + SUFFIX))
    streams = [list(stream) for stream in SETTINGS[setting](job.task(), job.plan, stream_seed)]
    about = job.about(unit, [int(w.first and at > 0) for at, w in enumerate(streams[0])])
    default: dict[str, object] = {}
    for group, name, choice in _all():
        if f"{group}/{name}" in read_rows(path).get("rows", {}):
            continue
        if choice.is_default:
            default = default or _edited(learner_of(job, DEFAULT), streams)
            row = default
        else:
            row = _edited(learner_of(job, f"{group}/{name}"), streams)
        write_rows(path, about, {f"{group}/{name}": {**row, "default": choice.is_default}})
        add_done(1)


def _edited(learner: Learner, streams: Sequence[Sequence[Window]]) -> dict[str, object]:
    return packed(follow(lambda device: Edited(learner), streams))


def _drift(job: Job, stream_seed: int) -> None:
    for seed in job.plan.train_seeds:
        unit = Unit(seed, stream_seed, DRIFT)
        path = unit.path(job.folder.with_name(job.folder.name + SUFFIX))
        if read_rows(path).get("rows"):
            continue
        rows, first = refinement_rows(job, seed, stream_seed)
        for name, row in rows.items():
            write_rows(path, job.about(unit, first), {name: row})
    add_done(1)
