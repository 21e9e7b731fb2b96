"""What `persona bench vision` does: wishes → a job, run with bars that say how long it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from persona.bench.vision.ablate import ablate
from persona.bench.vision.job import Job
from persona.bench.vision.plan import Plan
from persona.bench.vision.run import run
from persona.bench.vision.settings import settings_for
from persona.bench.vision.workers import Told
from persona.files import check_writable
from persona.progress import bars
from persona.tasks.vision.datasets import open_task


@dataclass(frozen=True)
class Wanted:
    """What was asked for; None stands for the data set's own, or for all."""

    data: str
    folder: Path | None = None
    backbone: str | None = None
    settings: Sequence[str] | None = None
    rows: Sequence[str] | None = None
    small: bool = False
    quick: bool = False
    ablations: bool = False

    def job(self, results: Path, nets: Path) -> Job:
        """Return the job; CatalogError or DataError for what is unknown or absent."""
        task = open_task(self.data, self.folder, self.backbone)
        plan = Plan(self.data, task.backbone)
        if self.small:
            plan = plan.small()
        if self.quick:
            plan = plan.quick()
        settings = tuple(self.settings) if self.settings else settings_for(self.data, quick=self.quick)
        return Job(plan, settings, tuple(self.rows) if self.rows else None, results, nets, self.folder)


def run_vision(wanted: Wanted, results: Path, nets: Path, workers: int) -> None:
    """Run what is wanted, with a bar for each part of it; errors as of `Job` and `run`."""
    job = wanted.job(results, nets)
    for folder in (job.folder, nets):
        check_writable(folder)
    with bars() as progress:
        known: dict[str, object] = {}

        def told(what: str, done: float, total: float) -> None:
            if what not in known:
                known[what] = progress.add_task(what, total=total, note="")
            progress.update(known[what], completed=done, total=total)  # type: ignore[arg-type]

        _run(job, workers, told, ablations=wanted.ablations)


def _run(job: Job, workers: int, told: Told, *, ablations: bool) -> None:
    run(job, workers, told)
    if ablations:
        ablate(job, workers, told)
