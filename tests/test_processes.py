"""Waiting for processes: the first that failed is named, and none is left running."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from persona.errors import ServiceError
from persona.processes import start_python, wait_for_all


def started(folder: Path, **scripts: str) -> dict[str, subprocess.Popen[bytes]]:
    return {name: start_python(["-c", script], folder / f"{name}.log") for name, script in scripts.items()}


def test_all_that_ended_well_are_waited_for(tmp_path: Path) -> None:
    looks: list[int] = []
    wait_for_all(started(tmp_path, one="", two=""), 60.0, lambda: looks.append(1))
    assert looks


def test_the_one_that_failed_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"two ended with exit code 3; see logs/two\.log"):
        wait_for_all(started(tmp_path, one="", two="raise SystemExit(3)"), 60.0, lambda: None)


def test_none_is_left_running_when_time_is_up_or_a_look_fails(tmp_path: Path) -> None:
    for_ever = "import sys; sys.stdin.read(); import threading; threading.Event().wait()"
    processes = started(tmp_path, slow=for_ever)
    with pytest.raises(ServiceError, match="slow ended with exit code -"):
        wait_for_all(processes, 0.0, lambda: None)
    assert processes["slow"].poll() is not None
    processes = started(tmp_path, slow=for_ever)
    with pytest.raises(ZeroDivisionError):
        wait_for_all(processes, 60.0, lambda: 1 // 0)
    assert processes["slow"].poll() is not None
