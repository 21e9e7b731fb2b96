"""The run: train what is not trained, stream what is not streamed; cut off, it goes on where it was.

Every net and every row of every unit is written as soon as it is done, and what is written is never done again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache, partial
from math import ceil
from typing import Any, Literal

import numpy as np
import torch

from persona.bench.store import read_rows, write_rows
from persona.bench.vision.costs import measure_costs
from persona.bench.vision.drive import Track, follow, follow_at_constant_speed
from persona.bench.vision.job import CHOSEN, Job
from persona.bench.vision.prices import STEP_MS
from persona.bench.vision.rows import Trained, build, traffic_of
from persona.bench.vision.settings import SETTINGS
from persona.bench.vision.step_time import training_step_ms
from persona.bench.vision.store import Unit, pack, read_costs, write_costs
from persona.bench.vision.tune import TUNED, Tried, keep_tried, try_row
from persona.bench.vision.workers import Told, add_done, count_step, spread
from persona.errors import SpecError
from persona.tasks.vision.streams import Window

# The setting whose first unit is also run at constant speed, and the devices of it that rows are timed on.
TIMED, TIMED_DEVICES = "iid-seen", 8


def run(job: Job, workers: int, told: Told) -> None:
    """Do what is missing of a job: train, tune peers on validation streams, stream, count costs.

    Errors as of training and of streams; DataError where a stored file is damaged or of another plan.
    """
    units = [unit for unit in job.units() if job.missing(unit)]
    seeds = sorted({unit.train for unit in units})
    plan = job.plan
    spread(warm_up, [(job, seed) for seed in seeds], workers).finish(
        "training: the shared start", (plan.base_steps + plan.warm_steps) * len(seeds), told
    )
    nets = [(job, seed, name) for seed in seeds for name in job.wanted_nets()]
    if seeds and job.taught:
        nets.insert(1, (job, plan.train_seeds[0], "teacher"))  # the longest, so early
    each = {"learner": plan.steps, "constant": plan.steps, "teacher": plan.teacher_steps}
    steps = sum(each.get(name, plan.peer_steps) for _, _, name in nets)
    spread(_net, nets, workers).finish("training: every net", steps, told)
    spread(_kit, [(job, seed) for seed in seeds], workers).finish("banks, jump test, prior term", len(seeds), told)
    stored = read_rows(job.folder / CHOSEN).get("rows", {})
    tuned = [(job, row) for row in TUNED if row in job.every_row() and row not in stored]
    spread(_tune, tuned, workers).finish("tuning peers on validation streams", len(tuned), told, partial(_keep, job))
    spread(_stream, [(job, unit) for unit in units], workers).finish(
        "streams", sum(len(job.missing(unit)) for unit in units), told
    )
    counted = read_costs(job.folder)
    uncounted = [row for row in job.every_row() if row not in counted]
    spread(_count, [(job, uncounted)] if uncounted else [], 1).finish("costs", len(uncounted), told)
    untimed = {"static", "persona"} <= {*job.every_row()} and STEP_MS not in counted.get("persona", {})
    spread(_time_steps, [(job,)] if untimed else [], 1).finish("a step of training", 1, told)


def warm_up(job: Job, seed: int) -> None:
    """Train what the nets of a seed start from, where it is not kept."""
    job.shop(seed, count_step).warm()


def _net(job: Job, seed: int, name: str) -> None:
    shop = job.shop(seed, count_step)
    if name == "teacher":
        job.teacher(count_step)
    else:
        try:
            shop.net(name)
        except SpecError:  # a peer that does not suit this net has no row
            return


def _kit(job: Job, seed: int) -> None:
    job.trained(seed)
    add_done(1)


def _tune(job: Job, row: str) -> Tried | None:
    try:
        return try_row(job, row)
    except SpecError:  # a peer that does not suit this net has no row
        return None
    finally:
        add_done(1)


def _keep(job: Job, tried: Tried | None) -> None:
    if tried is not None:
        keep_tried(job, tried)


# A seed's nets take longer to read than a row to run.
@lru_cache(maxsize=3)
def _trained(job: Job, seed: int) -> Trained:
    return job.trained(seed)


def _stream(job: Job, unit: Unit) -> None:
    trained = _trained(job, unit.train)
    streams = [list(stream) for stream in SETTINGS[unit.setting](job.task(), job.plan, unit.stream)]
    about = job.about(unit, [int(window.first and at > 0) for at, window in enumerate(streams[0])])
    timed = unit == Unit(job.plan.train_seeds[0], job.plan.stream_seeds[0], TIMED)
    for name in job.missing(unit):
        try:
            row = packed(follow(build(name)(trained), streams))
        except SpecError:  # a peer that does not suit this net has no row
            add_done(1)
            continue
        if timed:
            row["constant"] = pack(np.array(_at_constant_speed(name, trained, streams)))
        write_rows(unit.path(job.folder), about, {name: row})
        add_done(1)


def packed(tracks: Sequence[Track]) -> dict[str, Any]:
    """Return a row as it is stored, from the tracks of all devices."""
    return {
        "same": pack(np.array([track.same for track in tracks])),
        "causal": pack(np.array([track.causal for track in tracks])),
        "refused": sum(track.refused for track in tracks),
    }


def times(tracks: Sequence[Track]) -> dict[str, float]:
    """Return the median and the 99th percentile over windows of both verbs, in milliseconds."""
    found = {}
    for verb in ("step_ms", "answer_ms"):
        values = np.concatenate([getattr(track, verb) for track in tracks])
        found[f"{verb}_p50"], found[f"{verb}_p99"] = (float(np.quantile(values, q)) for q in (0.5, 0.99))
    return found


def _at_constant_speed(name: str, trained: Trained, streams: Sequence[Sequence[Window]]) -> list[list[int]]:
    """A method that computes r times as much as the plain net takes r windows for one."""
    make, plain = build(name)(trained), build("static")(trained)
    window = torch.from_numpy(streams[0][0].x)
    ratio = measure_costs(make, window).flops / measure_costs(plain, window).flops
    return follow_at_constant_speed(make, streams, max(ceil(ratio), 1))


def _time_steps(job: Job) -> None:
    shop = job.shop(job.plan.train_seeds[0])
    for row, ms in training_step_ms(shop).items():
        write_costs(job.folder, row, {**read_costs(job.folder).get(row, {}), STEP_MS: ms})
    add_done(1)


def _count(job: Job, rows: Sequence[str]) -> None:
    """Count and time rows, one after another and nothing beside them: figures from busy processes would not compare."""
    trained = job.trained(job.plan.train_seeds[0])
    drawn = SETTINGS[TIMED](job.task(), job.plan, job.plan.stream_seeds[0])
    streams = [list(stream) for stream in drawn[:TIMED_DEVICES]]
    window = torch.from_numpy(streams[0][0].x)
    for row in rows:
        on_device: Literal["step", "answer"] = "answer" if row == "cema" else "step"
        with suppress(SpecError):  # a peer that does not suit this net has no row
            make = build(row)(trained)
            costs = measure_costs(make, window, traffic_of(row, trained, window), on_device)
            write_costs(job.folder, row, {**costs.to_json(), **times(follow(make, streams))})
        add_done(1)
