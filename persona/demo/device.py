"""One simulated device in a process of its own: the real runtime on a stream of shifting pictures, without torch.

Every window is predicted five ways, so that all rows of a table see the same samples: `static` (the control net),
`base` (no edit), `mean_edit` (one edit for everybody), `adapted` (the edit of this very window, asked for first) and
`adapted_causal` (the runtime as an app would use it: predict, and let it ask when it sees fit). Labels are used for
scoring alone.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from persona.bundle import Bundle
from persona.demo.starting import bundle_for, trust_for
from persona.device import HttpCloud, Options, Placement, Runtime, Status, Store
from persona.device.model import Weights
from persona.device.options import DEFAULTS
from persona.device.ort_graph import open_session
from persona.edit import Array, Edit
from persona.errors import DataError, ExportError, PersonaError
from persona.tasks.vision.data import load_test_images
from persona.tasks.vision.shifts import Split
from persona.tasks.vision.streams import DeviceStream, StreamShape, Window, make_streams

ROWS = ("static", "base", "mean_edit", "adapted", "adapted_causal")


@dataclass(frozen=True)
class Controls:
    """The rows that ask nobody: a static net's graph, and one edit for everybody."""

    static: Callable[[Array], Array]
    mean_edit: Edit

    @classmethod
    def read(cls, folder: Path) -> Controls:
        """Read what the demo wrote to a folder; DataError where they are absent or damaged."""
        try:
            graph = (folder / "static.onnx").read_bytes()
            edit = Edit.from_bytes((folder / "mean_edit.safetensors").read_bytes())
            session = open_session(graph)
        except OSError as error:
            raise DataError(
                f"controls {error.filename} cannot be read; `persona demo` writes them to DIR/controls"
            ) from error
        except PersonaError as error:
            raise DataError(f"controls in {folder} are damaged ({error}); `persona demo` writes them anew") from error
        return cls(lambda x: np.asarray(session.run(["logits"], {"x": x})[0]), edit)


class Device:
    """One device's models and runtimes, fed window by window."""

    def __init__(
        self, bundle: Bundle, controls: Controls | None, clouds: Sequence[HttpCloud], options: Options = DEFAULTS
    ) -> None:
        """EditError where the mean edit is for another bundle; DataError where the placement cannot be.

        `clouds` two connections to one service, or none. The runtime as an app would use it keeps its state.
        """
        self._controls = controls
        self._clouds = clouds
        same, causal = clouds or (None, None)
        self._same = Runtime(bundle, same, options=replace(options, store=None))
        self.causal = Runtime(bundle, causal, options=options)
        self._model = self.causal.model
        self._base: Weights = self._model.weights(None)
        self._mean = None if controls is None else self._model.weights(controls.mean_edit)

    def meet(self, window: Window) -> dict[str, Any]:
        """Predict one window in every way and return its record."""
        self._same.observe(window.x)
        same = self._same.adapt()
        logits = {
            "base": self._model.run(window.x, self._base)[0],
            "adapted": self._same.predict(window.x),
            "adapted_causal": self.causal.predict(window.x),
        }
        if self._controls is not None and self._mean is not None:
            logits["static"] = self._controls.static(window.x)
            logits["mean_edit"] = self._model.run(window.x, self._mean)[0]
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
        self._same.close()
        self.causal.close()
        for cloud in self._clouds:
            cloud.close()


@dataclass(frozen=True)
class DevicePlan:
    """What one device process is to do: its service (or a bundle, for none), its files, its stream, its placement.

    None for `root` turns signatures off. `state` is the folder in which it keeps what it starts from the next time;
    with one, `service` may be None.
    """

    service: str | None
    out: Path
    controls: Path | None = None
    index: int = 0
    split: Split = "seen"
    labels: Literal["iid", "skew"] = "iid"
    windows_per_segment: int = 10
    pause_s: float = 0.0
    data: Path | None = None
    seed: int = 0
    placement: Placement | None = None
    root: Path | None = None
    state: Path | None = None

    def to_json(self) -> str:
        """Return the plan as one argument of a command line."""
        return json.dumps({name: str(v) if isinstance(v, Path) else v for name, v in vars(self).items()})

    @classmethod
    def from_json(cls, text: str) -> DevicePlan:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        names = ("out", "controls", "data", "root", "state")
        paths = {name: Path(values[name]) for name in names if values[name] is not None}
        return cls(**{**values, **paths})


def stream_device(plan: DevicePlan) -> None:
    """Fetch the bundle, stream, and write records; an error of the family where a file or the service is not there."""
    shape = StreamShape(windows_per_segment=plan.windows_per_segment, labels=plan.labels)
    images = load_test_images(plan.data)
    stream = make_streams(images, plan.split, plan.index + 1, plan.seed, shape)[plan.index]
    url = None if plan.placement == "device" else plan.service
    with nullcontext() if plan.state is None else Store(plan.state) as store:
        trust = None if url is None else trust_for(plan.root, store)
        bundle = bundle_for(plan.service, store, trust)
        controls = None if plan.controls is None else Controls.read(plan.controls)
        clouds = [] if url is None or trust is None else [HttpCloud(url, trust=trust) for _ in range(2)]
        device = Device(bundle, controls, clouds, Options(placement=plan.placement, store=store))
        write_lines(run_device(device, stream, plan.pause_s), plan.out)


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


def peak_memory_mb(status: Path = Path("/proc/self/status")) -> float | None:
    """Return the most resident memory this process ever had, in MB; None where the system does not say.

    Not ``ru_maxrss``: on Linux that starts from the peak of the process that forked this one.
    """
    lines = status.read_text().splitlines() if status.exists() else []
    peaks = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")]
    return peaks[0] if peaks else None


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
    """Write records as JSON lines, each as soon as it is there, so that a watcher can follow.

    ExportError where the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            for record in records:
                file.write(json.dumps(record) + "\n")
                file.flush()
    except OSError as error:
        raise ExportError(f"records cannot be written to {path}: {error.strerror}; choose another file") from error


if __name__ == "__main__":  # as the demo starts it: the command line's own parsing takes 12 MB that no app would spend
    stream_device(DevicePlan.from_json(sys.argv[1]))
