"""Tuning of peers: every combination of a peer's grid on validation streams, the best one kept with all the others.

Streams are drawn from validation pictures under `VALIDATION_SEEDS` alone. Peers of every kind get the same streams, and
as many combinations as their grid has; what is ours was chosen on the same streams.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Literal, NamedTuple

import numpy as np

from persona import catalog
from persona.baselines.cema import Cema
from persona.bench.store import write_rows
from persona.bench.vision.drive import Make, follow
from persona.bench.vision.job import CHOSEN, Job
from persona.bench.vision.plan import VALIDATION_SEEDS
from persona.bench.vision.rows import Trained, cema_row
from persona.bench.vision.settings import shape_of
from persona.tasks.vision.streams import Window, make_streams

TUNED = (*catalog.names("methods"), "cema")
DEVICES = 4  # of each validation seed and kind of labels
LABELS: tuple[Literal["iid", "skew"], ...] = ("iid", "skew")


class Tried(NamedTuple):
    """A row, and what is kept of its tuning."""

    row: str
    found: dict[str, Any]


def try_row(job: Job, row: str) -> Tried:
    """Return every score of a peer's grid on validation streams and the best setting.

    The score is the mean accuracy over even and skewed streams of seen shifts, in %. A tie goes to what comes first in
    the grid: the published default. SpecError where the peer does not suit the net.
    """
    trained = job.trained(job.plan.train_seeds[0])
    streams = validation_streams(job)
    kind = Cema if row == "cema" else catalog.load("methods", row)
    settings = combinations(kind.GRID)
    scores = [_score(_make(row, kind, trained, setting), streams) for setting in settings]
    tried = [{"setting": one, "accuracy": score} for one, score in zip(settings, scores, strict=True)]
    return Tried(row, {"chosen": settings[int(np.argmax(scores))], "tried": tried})


def keep_tried(job: Job, tried: Tried) -> None:
    """Add what was tried to ``settings.json``; for one process alone, since the file is read and written again."""
    about = {"plan": job.plan.to_json(), "stream_seeds": list(VALIDATION_SEEDS)}
    write_rows(job.folder / CHOSEN, about, {tried.row: tried.found})


def combinations(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return every combination of a grid's values, the first values first; one empty for an empty grid."""
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def validation_streams(job: Job) -> list[list[Window]]:
    """Return the streams that choices are made on."""
    images = job.task().images.validation
    kinds = product(VALIDATION_SEEDS, LABELS)
    drawn = [make_streams(images, "seen", DEVICES, seed, shape_of(job.plan, labels)) for seed, labels in kinds]
    return [list(stream) for streams in drawn for stream in streams]


def _make(row: str, kind: Any, trained: Trained, setting: Mapping[str, Any]) -> Make:
    net = trained.suite.static
    if row == "cema":
        return lambda device: cema_row(trained, device, setting)
    return lambda device: kind(net, device, **setting)


def _score(make: Make, streams: Sequence[Sequence[Window]]) -> float:
    tracks = follow(make, streams)
    sizes = sum(len(window.y) for stream in streams for window in stream)
    return 100 * float(np.sum([track.same for track in tracks])) / sizes
