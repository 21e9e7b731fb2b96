"""An outage on purpose: the service is killed in the middle of the stream and started again later."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from persona.demo.results import Record, read_device
from persona.processes import ServiceProcess


class Outage:
    """Kills the service when the device it watches is a quarter through its stream; starts it at three eighths."""

    def __init__(self, service: ServiceProcess, watched: Path, windows: int) -> None:
        self._service, self._watched = service, watched
        self._windows = windows
        self._kill_at, self._start_at = windows // 4, 3 * windows // 8
        self._killed: int | None = None
        self._back: int | None = None

    def tick(self) -> None:
        """Look how far the stream is, and act if it is time."""
        done = count_lines(self._watched)
        if self._killed is None and done >= self._kill_at:
            self._service.kill()
            self._killed = done
        elif self._killed is not None and self._back is None and done >= self._start_at:
            self._service.start()
            self._back = done

    def figures(self, devices: Sequence[Path]) -> dict[str, Any]:
        """Return when it was, what failed, the windows left unpredicted, and whether every device adapted again."""
        streams = [read_device(path)[0] for path in devices]
        return {
            "killed_at_window": self._killed,
            "back_at_window": self._back,
            "failed_requests": sum(records[-1][way]["refused"] for records in streams for way in ("same", "causal")),
            "device_errors": sum(self._windows - len(records) for records in streams),
            "adapted_again": all(self._again(records) for records in streams),
        }

    def _again(self, records: Sequence[Record]) -> bool:
        """Whether a device got answers after the service was back."""
        if self._back is None or self._back >= len(records):
            return False
        return all(records[-1][way]["replies"] > records[self._back][way]["replies"] for way in ("same", "causal"))


def count_lines(path: Path) -> int:
    """Return the records written so far; 0 while there is no file."""
    return path.read_bytes().count(b"\n") if path.exists() else 0
