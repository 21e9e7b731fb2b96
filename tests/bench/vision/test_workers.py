"""Work in processes: all of it done and counted, and the first error told."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from persona.bench.vision.workers import add_done, count_step, spread


def wait_until(true: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not true():
        threading.Event().wait(0.1)
    return true()


def is_alive(process: int) -> bool:
    """Whether a process that is not our child runs; one that nobody has buried yet does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_all_calls_are_made_and_counted() -> None:
    heard: list[tuple[str, float, float]] = []
    spread(add_done, [(1.0,), (2.5,), (0.5,)], 1).finish("adding", 4.0, lambda *told: heard.append(told))
    assert heard[-1] == ("adding", 4.0, 4.0)
    assert all(0 <= done <= total for _, done, total in heard)


def test_the_first_error_is_told() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        spread(int, [("seven",)], 1).finish("reading", 1.0, lambda *told: None)


def test_nothing_to_do_starts_nothing() -> None:
    heard: list[object] = []
    spread(add_done, [], 1).finish("adding", 0.0, lambda *told: heard.append(told))
    assert heard == []


def test_outside_of_a_worker_nobody_counts() -> None:
    add_done(1.0)
    count_step(1, 2, 0.5)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see a process of another parent")
def test_a_killed_run_leaves_no_process_behind(tmp_path: Path) -> None:
    code = (
        "import os, sys, time\n"
        "from persona.bench.vision.workers import spread\n"
        "from tests.bench.vision.lingering import linger\n"
        "if __name__ == '__main__':\n"
        f"    spread(linger, [({str(tmp_path)!r},)], 1).finish('waiting', 1.0, lambda *told: None)\n"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    root = Path(__file__).parents[3]
    parent = subprocess.Popen([sys.executable, script], cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
    note = tmp_path / "worker"
    assert wait_until(note.exists, 60)
    worker = int(note.read_text())
    parent.kill()
    parent.wait()
    assert wait_until(lambda: not is_alive(worker), 30)
