"""Processes of this command line, started from Python: a service, a simulated device."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from persona.errors import ServiceError

# A service imports FastAPI and loads its encoder in a second or two; a busy machine takes longer.
START_S = 60.0
POLL_S = 0.05


class ServiceProcess:
    """`persona serve` on a free port, which stays the same when it is started again.

    `reply_key` is the file of the private key that it signs replies with.
    As a context manager it starts on entry and stops on exit.
    """

    def __init__(self, bundle: Path, log: Path, reply_key: Path | None = None) -> None:
        self._key = [] if reply_key is None else ["--reply-key", str(reply_key)]
        self._bundle, self._log = bundle, log
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Its process; ServiceError where it does not run."""
        if self._process is None:
            raise ServiceError("the service does not run; start it first")
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it listens; ServiceError where it does not."""
        port_file = self._log.with_suffix(".port")
        port_file.unlink(missing_ok=True)
        arguments = [
            "-m",
            "persona",
            "serve",
            str(self._bundle),
            "--port",
            str(self._port),
            "--port-file",
            str(port_file),
            *self._key,
        ]
        self._process = start_python(arguments, self._log)
        process = self._process
        wait_until(lambda: port_file.exists() or process.poll() is not None, START_S)
        if not port_file.exists():
            code = process.poll()
            self.stop()
            how = f"did not start within {START_S:.0f} s" if code is None else f"ended with exit code {code}"
            last = (self._log.read_text(errors="replace").strip().splitlines() or ["nothing"])[-1]
            raise ServiceError(f"the service {how}; the last line of its log {self._log} is: {last}")
        self._port = int(port_file.read_text())

    def kill(self) -> None:
        """End it at once, as a power cut would (SIGKILL)."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in an orderly way."""
        self._end(signal.SIGTERM)

    def __enter__(self) -> ServiceProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=START_S)
            self._process = None


def start_python(arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start this Python with one thread for numerics and small pools of memory; its output goes to a log file.

    Many small processes share a machine here: one malloc arena for all threads, and large blocks go back at once.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )


def wait_until(condition: Callable[[], bool], limit_s: float, clock: Callable[[], float] = time.monotonic) -> bool:
    """Wait until a condition holds, at most `limit_s` seconds; return whether it does."""
    end = clock() + limit_s
    while not condition():
        if clock() > end:
            return False
        time.sleep(POLL_S)
    return True


def wait_for_all(processes: Mapping[str, subprocess.Popen[bytes]], limit_s: float, tick: Callable[[], None]) -> None:
    """Wait until processes, by name, have ended, calling `tick` again and again; none is left running afterwards.

    ServiceError naming the first that failed, or that was not done after `limit_s` seconds.
    """

    def all_ended() -> bool:
        tick()
        return all(process.poll() is not None for process in processes.values())

    try:
        in_time = wait_until(all_ended, limit_s)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    for name, process in processes.items():
        if not in_time or process.returncode:
            raise ServiceError(f"{name} ended with exit code {process.returncode}; see logs/{name}.log in the folder")
