"""What `persona bench recommendation` does: wishes → a job, run with a bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from persona.bench.recommendation.plan import Plan, Protocol, Setting
from persona.bench.recommendation.run import Job, run
from persona.files import check_writable
from persona.progress import bars


@dataclass(frozen=True)
class Wanted:
    """What was asked for; None stands for all rows, 0 for the plan's own seeds."""

    data: str
    folder: Path | None = None
    setting: Setting = "users"
    rows: Sequence[str] | None = None
    seeds: int = 0
    quick: bool = False
    protocol: Protocol = "trustworthy"

    def job(self, results: Path, nets: Path) -> Job:
        """Return the job; DataError for an unknown setting. The paper's protocol has a setting of its own."""
        plan = Plan.of_paper(self.data) if self.protocol == "paper" else Plan.of(self.data, self.setting)
        if self.seeds:
            plan = replace(plan, seeds=tuple(range(self.seeds)))
        if self.quick:
            plan = plan.quick()
        return Job(plan, self.folder, results, nets, tuple(self.rows) if self.rows else None)


def run_recommendation(wanted: Wanted, results: Path, nets: Path) -> None:
    """Run what is wanted, with a bar; errors as of `Job` and `run`."""
    job = wanted.job(results, nets)
    for folder in (job.folder, nets):
        check_writable(folder)
    with bars() as progress:
        task = progress.add_task("rows", total=None, note="")

        def told(what: str, done: float, total: float) -> None:
            progress.update(task, description=what, completed=done, total=total)

        run(job, told)
