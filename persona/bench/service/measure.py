"""A real server on one core, a client on another, and what the system says of the server's CPU time."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from persona.bench.service.load import Plan
from persona.bench.store import circumstances
from persona.bundle import Bundle, read_bundle
from persona.errors import DataError, ServiceError
from persona.processes import ServiceProcess
from persona.wire import CONTENT_TYPE, AdaptRequest

_WRK = """wrk.method = "POST"
wrk.body = io.open("BODY", "rb"):read("*a")
wrk.headers["Content-Type"] = "TYPE"
"""


def measure(folder: Path, seconds: float = 10.0) -> dict[str, Any]:
    """Return the figures of the bundle in a folder, with circumstances and the load of the machine before.

    ServiceError where the service does not start or a request is not answered with 200.
    """
    request = _request_of(read_bundle(folder))
    load = os.getloadavg()[0]
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        body = Path(name) / "body"
        body.write_bytes(request)
        with ServiceProcess(folder, Path(name) / "service.log") as service:
            _hold(service.pid, cores[:1])
            plan = Plan(int(service.url.rpartition(":")[2]), str(body), CONTENT_TYPE, seconds=seconds)
            _client(replace(plan, seconds=1.0), cores)  # a warm-up
            before = _cpu_s(service.pid)
            full, client = _full_load(plan, cores)
            cpu_s = _cpu_s(service.pid) - before
            rate = full["requests"] / full["seconds"]
            half = _client(replace(plan, rate_per_s=rate / 2), cores)
    reached = half["requests"] / half["seconds"]
    return {
        **circumstances(),
        "load": round(load, 2),
        "cores": len(cores),
        "client": client,
        "request_bytes": len(request),
        "cpu_ms": 1000 * cpu_s / full["requests"],
        "requests_per_s": rate,
        "half_load": {"requests_per_s": reached, "p50_ms": half["p50_ms"], "p99_ms": half["p99_ms"]},
    }


def read_figures(path: Path) -> Mapping[str, Any] | None:
    """Return figures that were stored; None where there are none, DataError where the file is damaged."""
    if not path.exists():
        return None
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
        numbers = [figures[name] for name in ("cpu_ms", "requests_per_s", "load")]
        if not all(isinstance(one, int | float) for one in [*numbers, *figures["half_load"].values()]):
            raise TypeError("a figure is no number")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"results {path} are damaged ({error!r}); delete the file, and measure again") from error
    return dict(figures)


def _request_of(bundle: Bundle) -> bytes:
    if bundle.context == "sketch":
        values = np.zeros(bundle.sketch.n_features, np.float16)
        return AdaptRequest(bundle.fingerprint, "sketch", values, bundle.support[1]).encode()
    samples = np.ones((bundle.support[1], *bundle.sample_shape), np.float32)
    return AdaptRequest(bundle.fingerprint, "samples", samples, len(samples)).encode()


def _full_load(plan: Plan, cores: list[int]) -> tuple[dict[str, float], str]:
    wrk = shutil.which("wrk")
    if wrk is None:
        return _client(plan, cores), "python"
    script = Path(plan.body).with_suffix(".lua")
    script.write_text(_WRK.replace("BODY", plan.body).replace("TYPE", plan.content_type))
    command = [wrk, "-t1", f"-c{plan.connections}", f"-d{plan.seconds:.0f}s", "-s", str(script)]
    said = _ended([*command, f"http://127.0.0.1:{plan.port}/v1/adapt"], cores)
    found = re.search(r"(\d+) requests in ([\d.]+)s", said)
    if found is None or "Non-2xx" in said:
        raise ServiceError(f"wrk did not get 200 alone: {said[-300:]}")
    return {"requests": int(found[1]), "seconds": float(found[2])}, "wrk"


def _client(plan: Plan, cores: list[int]) -> dict[str, float]:
    said = _ended([sys.executable, "-m", "persona.bench.service.load"], cores, json.dumps(asdict(plan)))
    return dict(json.loads(said))


def _ended(command: list[str], cores: list[int], text: str = "") -> str:
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    _hold(process.pid, cores[1:] or cores)
    out, errors = process.communicate(text)
    if process.returncode:
        raise ServiceError(f"the client failed: {(errors.strip().splitlines() or ['it said nothing'])[-1]}")
    return out


def _hold(pid: int, cores: list[int]) -> None:
    """Hold every thread of a process to some cores."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


def _cpu_s(pid: int) -> float:
    """Return user and system time of a process, all of its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
