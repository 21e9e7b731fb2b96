"""Work in processes: all of it done and counted, and the first error told."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from persona.bench.vision.workers import add_done, count_step, spread


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


def test_a_killed_run_leaves_no_process_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        script = tmp_path / "run.py"
        script.write_text(
            "from persona.bench.vision.workers import spread\n"
            "from tests.bench.vision.lingering import linger\n"
            "if __name__ == '__main__':\n"
            f"    spread(linger, [({server.getsockname()[1]},)], 1).finish('waiting', 1.0, lambda *told: None)\n"
        )
        root = Path(__file__).parents[3]
        parent = subprocess.Popen([sys.executable, script], cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
        worker, _ = server.accept()
    with worker:
        assert worker.recv(5) == b"alive"
        parent.kill()
        parent.wait()
        worker.settimeout(30)
        assert worker.recv(1) == b""  # closed: whoever held the other end is gone
