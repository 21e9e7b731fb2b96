"""The main job end to end: train, export, serve, stream, report."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from persona.bundle import CLOUD_FILE, DEVICE_FILE, Bundle
from persona.demo.device import DevicePlan
from persona.demo.outage import Outage, count_lines
from persona.demo.results import stream_figures
from persona.demo.signed import sign_demo
from persona.edit import Edit
from persona.export.build import collect_windows, export_bundle, sketch_spec
from persona.export.graph import bake, model_graph
from persona.files import write_whole
from persona.model.editable import EditableModel
from persona.processes import ServiceProcess, start_python, wait_for_all
from persona.tasks.base import Task
from persona.tasks.vision.shifts import Split
from persona.training.checkpoint import Run
from persona.trust.keys import SIGNATURE_BYTES

# How long the devices may take to stream; a hung device is an error, not a wait without end.
STREAM_S = 600.0
# Windows whose edits make the mean edit.
MEAN_WINDOWS = 256


@dataclass(frozen=True)
class Fleet:
    """How many devices stream what: shifting ones, clean ones, windows a segment, the pause between windows, a seed."""

    shifting: int = 8
    clean: int = 4
    windows_per_segment: int = 10
    pause_s: float = 0.1
    seed: int = 7

    @property
    def windows(self) -> int:
        """Windows a device: four segments."""
        return 4 * self.windows_per_segment

    def plan(self, service: str, out: Path, index: int, split: Split, data: Path | None) -> DevicePlan:
        """Return what one of the devices is to do; its controls lie beside the folder of its records."""
        controls, per_segment = out.parent.parent / "controls", self.windows_per_segment
        return DevicePlan(service, out, controls, index, split, "iid", per_segment, self.pause_s, data, self.seed)


def export_run(run: Run, task: Task, folder: Path, prototypes: int = 16) -> Bundle:
    """Write a run's bundle to ``folder/bundle`` and its controls to ``folder/controls``."""
    bundle = export_bundle(run.learner, task.training(), folder / "bundle", prototypes=prototypes)
    static = EditableModel(run.static, run.recipe.editable, torch.zeros(2, *task.input_shape))
    weights = {name: value.numpy() for name, value in static.base_weights().items()}
    write_whole(folder / "controls" / "static.onnx", bake(model_graph(static), weights))
    write_whole(folder / "controls" / "mean_edit.safetensors", mean_edit(run, task, bundle).to_bytes())
    return bundle


def mean_edit(run: Run, task: Task, bundle: Bundle) -> Edit:
    """Return the mean of the edits of training windows: one edit for everybody, the control."""
    rng = np.random.default_rng(1)
    codes, _ = collect_windows(run.learner, sketch_spec(run.learner), task.training(), rng, MEAN_WINDOWS)
    return Edit.mean([bundle.decoder.decode(code) for code in codes])


def stream(
    folder: Path, data: Path | None, fleet: Fleet, outage: bool, tick: Callable[[int, int], None]
) -> dict[str, Any]:
    """Run service and devices as processes of their own, on loopback, and return the figures of their streams.

    `tick` is told the windows done and in all. ServiceError where service or a device fails.
    """
    records = folder / "devices"
    keys = sign_demo(folder)
    service = ServiceProcess(folder / "bundle", folder / "logs" / "service.log", keys.reply)
    service.start()
    try:
        shifting = [records / f"shifting-{i}.jsonl" for i in range(fleet.shifting)]
        clean = [records / f"clean-{i}.jsonl" for i in range(fleet.clean)]
        for path in [*shifting, *clean]:
            path.unlink(missing_ok=True)
        splits: tuple[tuple[Split, list[Path]], ...] = (("seen", shifting), ("clean", clean))
        processes = [
            _start_device(replace(fleet.plan(service.url, path, index, split, data), root=keys.root), folder)
            for split, paths in splits
            for index, path in enumerate(paths)
        ]
        event = Outage(service, shifting[0], fleet.windows) if outage else None
        _watch(processes, [*shifting, *clean], fleet.windows, event, tick)
    finally:
        service.stop()
    figures = stream_figures(shifting, clean)
    return {**figures, "outage": None if event is None else event.figures(shifting)}


def _start_device(plan: DevicePlan, folder: Path) -> subprocess.Popen[bytes]:
    return start_python(["-m", "persona.demo.device", plan.to_json()], folder / "logs" / f"{plan.out.stem}.log")


def _watch(
    processes: list[subprocess.Popen[bytes]],
    paths: list[Path],
    windows: int,
    event: Outage | None,
    tick: Callable[[int, int], None],
) -> None:
    """Wait until every device has ended; ServiceError naming the first that failed, or where time is up."""

    def look() -> None:
        if event is not None:
            event.tick()
        tick(sum(min(count_lines(path), windows) for path in paths), windows * len(paths))

    wait_for_all(dict(zip((path.stem for path in paths), processes, strict=True)), STREAM_S, look)


@contextmanager
def timed(seconds: dict[str, float], phase: str, clock: Callable[[], float] = time.perf_counter) -> Iterator[None]:
    """Note under a phase's name how long the block took."""
    start = clock()
    yield
    seconds[phase] = clock() - start


def results(
    run: Run, bundle: Bundle, figures: Mapping[str, Any], folder: Path, seconds: Mapping[str, float]
) -> dict[str, Any]:
    """Return everything that goes into ``results.json``: the stream's figures, and what they were made from."""
    parameters = sum(p.numel() for p in run.learner.model.module.parameters())
    sizes = {name: (folder / "bundle" / file).stat().st_size for name, file in _FILES.items()}
    shape = (bundle.support[1], *bundle.input_shape)
    return {
        **figures,
        "bank_size": len(bundle.bank),
        "signature_bytes": SIGNATURE_BYTES,
        "sample_bytes": int(np.prod(shape)),
        "requests": sum(device["asks"] for device in figures["devices"]),
        "failed_requests": sum(device["refused"] for device in figures["devices"]),
        "bundle": {"fingerprint": bundle.fingerprint, **sizes, "editable": bundle.spec.size, "parameters": parameters},
        "training": run.facts["training"],
        "validation": run.facts["validation"],
        "seeds": dict(run.facts["seeds"]),
        "seconds": {**seconds, "total": sum(seconds.values())},
        "versions": versions(),
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "system": platform.system()},
    }


def versions() -> dict[str, str]:
    """Return the versions that figures depend on."""
    names = ("persona-edge", "torch", "onnxruntime", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def write_results(values: Mapping[str, Any], path: Path) -> None:
    """Write ``results.json``; ExportError where it cannot be written."""
    write_whole(path, json.dumps(values, indent=1).encode())


_FILES = {"device_bytes": DEVICE_FILE, "cloud_bytes": CLOUD_FILE}
