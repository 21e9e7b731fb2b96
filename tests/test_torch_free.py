"""What runs on a device must not load torch, nor what only the service and the reports need."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("fastapi", "matplotlib", "onnx", "pydantic", "scipy", "torch")
DEVICE_HALF = ("persona", "persona.device", "persona.tasks.recommendation", "persona.tasks.vision")


def loaded_by(*modules: str) -> set[str]:
    """Return which of the heavy packages a fresh interpreter has loaded after importing the modules."""
    code = f"import sys, {', '.join(modules)}; print(*({set(HEAVY)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", DEVICE_HALF)
def test_the_device_half_loads_nothing_heavy(module: str) -> None:
    assert loaded_by(module) == set()


def test_the_command_line_starts_without_anything_heavy() -> None:
    assert loaded_by("persona.cli") == set()


def test_this_check_can_fail() -> None:
    assert "scipy" in loaded_by("persona.device", "scipy")
