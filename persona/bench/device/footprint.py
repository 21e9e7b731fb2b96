"""What a device's process carries: time to import, and the most memory it ever had, edited and baked."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import persona
from persona.bench.device.bundles import baked_graph
from persona.bundle import DEVICE_FILE, Bundle
from persona.errors import DataError
from persona.trust import SigningKey
from persona.trust.metadata import ROLES
from persona.trust.publish import DAY_S, root_file

BAKED_FILE, ROOT_FILE = "baked.onnx", "root.json"
# Runs in a process of its own; the first argument is the folder with both files, the second what to run.
_SCRIPT = """
import json, sys, time
from pathlib import Path
start = time.perf_counter()
import persona.device
imported_s = time.perf_counter() - start
import numpy as np
folder, what = Path(sys.argv[1]), sys.argv[2]
shape = tuple(json.loads(sys.argv[3]))
windows = [np.full((n, *shape), 0.5, np.float32) for n in (1, 32, 32, 1)]
if what == "baked":
    from persona.device.ort_graph import OrtGraph
    run = OrtGraph((folder / "baked.onnx").read_bytes()).bind({})
    for x in windows:
        run(x)
elif what == "edited":
    from persona import read_bundle
    from persona.device import DeviceModel
    bundle = read_bundle(folder)
    model = DeviceModel(bundle)
    weights = model.weights(None)
    for prototype, x in enumerate(windows):
        edit = bundle.decoder.decode(bundle.bank.compose(prototype % len(bundle.bank)))
        weights = model.weights(edit)
        model.run(x, weights)
else:
    from persona import read_bundle
    cloud = None
    if what == "device with cloud":
        trust = persona.device.Trust.from_root((folder / "root.json").read_bytes())
        cloud = persona.device.HttpCloud("http://127.0.0.1:9", trust=trust)
    with persona.device.Runtime(read_bundle(folder), cloud) as runtime:
        for x in windows:
            runtime.predict(x)
            runtime.adapt()
status = Path("/proc/self/status")
lines = status.read_text().splitlines() if status.exists() else []
peaks = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")]
print(json.dumps({"import_s": imported_s, "peak_mb": peaks[0] if peaks else None}))
"""
WHATS = ("baked", "edited", "device", "device with cloud")


def footprint(bundle: Bundle, runs: int = 5) -> dict[str, Any]:
    """Return medians over processes: seconds to import `persona.device`, and peak MB by what runs.

    None for memory where the system does not say. DataError where a process fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / DEVICE_FILE).write_bytes(bundle.to_bytes())
        (folder / BAKED_FILE).write_bytes(baked_graph(bundle))
        (folder / ROOT_FILE).write_bytes(_root())
        found = {what: [_run(folder, what, bundle.input_shape) for _ in range(runs)] for what in WHATS}
    peaks = {what: _median([one["peak_mb"] for one in every]) for what, every in found.items()}
    imports = [one["import_s"] for one in found["device"]]
    edited, baked = peaks["edited"], peaks["baked"]
    ratio = None if edited is None or not baked else edited / baked
    return {"import_s": statistics.median(imports), "peak_mb": peaks, "edited_of_baked": ratio}


def _root() -> bytes:
    key = SigningKey.generate()
    return root_file(1, time.time() + DAY_S, {role: ([key.public], 1) for role in ROLES}, [key])


def _run(folder: Path, what: str, shape: tuple[int, ...]) -> Mapping[str, Any]:
    command = [sys.executable, "-c", _SCRIPT, str(folder), what, json.dumps(shape)]
    package = str(Path(persona.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise DataError(f"a process that ran {what} failed: {done.stderr.strip().splitlines()[-1:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
