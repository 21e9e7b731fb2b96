"""The demo's phases in order, with what a person sees of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from persona.demo.report import write_report
from persona.demo.run import Fleet, export_run, results, stream, timed, write_results
from persona.files import check_writable
from persona.progress import bars, phases
from persona.tasks.vision.task import VisionTask
from persona.training.checkpoint import save_run
from persona.training.recipe import Recipe
from persona.training.session import Budget, train_run


def run_demo(
    folder: Path, data: Path | None, devices: int, kill_service: bool, *, quick: bool = False, seed: int = 0
) -> dict[str, Any]:
    """Run the demo into a folder and return what ``results.json`` holds."""
    folder = folder.resolve()
    seconds: dict[str, float] = {}
    task = VisionTask(data)
    recipe = Recipe(task.backbone, task.editable)
    check_writable(folder)
    budget = Budget(base_steps=30, adapter_steps=30, seed=seed) if quick else Budget(seed=seed)
    fleet = Fleet(shifting=devices, seed=seed + 7)
    if kill_service:  # time enough for a service to start again, and for devices to notice
        fleet = replace(fleet, pause_s=0.5)
    elif quick:
        fleet = replace(fleet, windows_per_segment=4)
    with timed(seconds, "train"), phases() as progress:
        run = train_run(task, recipe, budget, progress)
    save_run(folder / "run", run)
    with timed(seconds, "export"):
        bundle = export_run(run, task, folder)
    with timed(seconds, "stream"), bars() as progress_bars:
        bar = progress_bars.add_task("devices", total=None, note="")
        figures = stream(
            folder,
            data,
            fleet,
            kill_service,
            lambda done, total: progress_bars.update(bar, completed=done, total=total),
        )
    values = results(run, bundle, figures, folder, seconds)
    values["seeds"]["stream"] = fleet.seed
    write_results(values, folder / "results.json")
    write_report(values, folder / "report.html")
    return values
