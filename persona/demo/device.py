"""One simulated device in a process of its own: the real runtime on a stream of shifting pictures, without torch.

Every window is predicted five ways, so that all rows of a table see the same samples: `static` (the control net),
`base` (no edit), `mean_edit` (one edit for everybody), `adapted` (the edit of this very window, asked for first) and
`adapted_causal` (the runtime as an app would use it: predict, and let it ask when it sees fit). Labels are used for
scoring alone.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from persona.bundle import Bundle, read_file
from persona.device import DeviceModel, HttpCloud, Runtime, Status
from persona.device.model import Weights
from persona.edit import Array, Edit
from persona.tasks.vision.streams import DeviceStream, Window

ROWS = ("static", "base", "mean_edit", "adapted", "adapted_causal")


@dataclass(frozen=True)
class Controls:
    """The rows that ask nobody: a static net's graph, and one edit for everybody."""

    static: Callable[[Array], Array]
    mean_edit: Edit

    @classmethod
    def read(cls, folder: Path) -> Controls:
        """Read what the demo wrote to a folder; BundleError or EditError where it is absent or damaged."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(read_file(folder / "static.onnx"), options)
        edit = Edit.from_bytes(read_file(folder / "mean_edit.safetensors"))
        return cls(lambda x: np.asarray(session.run(["logits"], {"x": x})[0]), edit)


class Device:
    """One device's models and runtimes, fed window by window."""

    def __init__(self, bundle: Bundle, controls: Controls, url: str) -> None:
        """EditError where the mean edit is for another bundle."""
        self._controls = controls
        self._model = DeviceModel(bundle)
        self._base: Weights = self._model.weights(None)
        self._mean: Weights = self._model.weights(controls.mean_edit)
        self._clouds = HttpCloud(url), HttpCloud(url)
        self._same, self.causal = (Runtime(bundle, cloud) for cloud in self._clouds)

    def meet(self, window: Window) -> dict[str, Any]:
        """Predict one window in every way and return its record."""
        self._same.observe(window.x)
        same = self._same.adapt()
        logits = {
            "static": self._controls.static(window.x),
            "base": self._model.run(window.x, self._base)[0],
            "mean_edit": self._model.run(window.x, self._mean)[0],
            "adapted": self._same.predict(window.x),
            "adapted_causal": self.causal.predict(window.x),
        }
        return {
            "segment": window.segment,
            "first": window.first,
            "n": len(window.y),
            "correct": {row: int((values.argmax(axis=1) == window.y).sum()) for row, values in logits.items()},
            "same": _facts(same),
            "causal": _facts(self.causal.status()),
        }

    def close(self) -> None:
        """Let requests in flight end, and close the connections."""
        for part in (self._same, self.causal, *self._clouds):
            part.close()


def run_device(
    device: Device, stream: DeviceStream, pause_s: float = 0.0, wait: Callable[[float], None] = time.sleep
) -> Iterator[dict[str, Any]]:
    """Yield one record a window, then one of the whole device; `pause_s` passes between windows."""
    for index, window in enumerate(stream):
        yield {"window": index, **device.meet(window)}
        wait(pause_s)
    device.close()
    yield {
        "domains": [domain.name for domain in stream.domains],
        "rss_mb": peak_memory_mb(),
        "torch_imported": "torch" in sys.modules,
    }


def peak_memory_mb(status: Path = Path("/proc/self/status")) -> float:
    """Return the most resident memory this process ever had, in MB; NaN where the system does not say.

    Not ``ru_maxrss``: on Linux that starts from the peak of the process that forked this one.
    """
    lines = status.read_text().splitlines() if status.exists() else []
    peaks = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")]
    return peaks[0] if peaks else math.nan


def _facts(status: Status) -> dict[str, Any]:
    parts = status.apply_time
    return {
        "in_force": status.in_force,
        "asks": status.asks,
        "replies": status.replies,
        "refused": status.refused,
        "reason": status.reason,
        "jumps": status.jumps,
        "bytes_up": status.bytes_up,
        "bytes_down": status.bytes_down,
        "latency_ms": None if status.latency_s is None else 1e3 * status.latency_s,
        "apply_us": None if parts is None else dict(vars(parts)),
    }


def write_lines(records: Iterator[dict[str, Any]], path: Path) -> None:
    """Write records as JSON lines, each as soon as it is there, so that a watcher can follow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for record in records:
            file.write(json.dumps(record) + "\n")
            file.flush()
