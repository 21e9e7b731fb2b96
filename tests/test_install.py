"""What an install brings: a device's own brings no command line, no validation library, no framework."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import venv
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"fastapi", "matplotlib", "onnx", "pydantic", "pydantic-core", "rich", "scipy", "starlette", "torch", "typer"}
BLOCKED = "import sys\nfor name in {names!r}: sys.modules[name] = None\n"


def project() -> dict[str, list[str]]:
    """Return the requirements of this checkout: under "" those of the core, then those of each extra."""
    facts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {"": facts["dependencies"], **facts["optional-dependencies"]}


def closure(names: list[str], of: Callable[[str], list[str] | None] = requires) -> set[str]:
    """Return every distribution that requirements bring, by the metadata of what is installed."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.split(r"[^A-Za-z0-9._-]", waiting.pop(), maxsplit=1)[0].lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        try:
            needed = of(name) or []
        except PackageNotFoundError:  # for another system
            continue
        waiting += [one for one in needed if "extra ==" not in one]
    return found


def test_the_core_brings_nothing_heavy() -> None:
    assert closure(project()[""]) & HEAVY == set()


def test_this_check_can_fail() -> None:
    needs = {"a": ["b>=1", "c; extra == 'more'"], "b": ["pydantic-core==2"]}
    assert closure(["a>=2"], lambda name: needs.get(name, [])) == {"a", "b", "pydantic-core"}
    assert "pydantic" in closure(project()["cli"]), "typer brings it, which is the reason for an extra"


def test_every_extra_with_verbs_brings_the_command_line() -> None:
    extras = project()
    for name in ("cloud", "train", "bench"):
        assert "persona-edge[cli]" in extras[name]


def test_without_the_command_line_its_name_says_what_to_install() -> None:
    code = BLOCKED.format(names=["typer"]) + "from persona.__main__ import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code, "inspect", "x"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'persona-edge[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_device_runs_without_them() -> None:
    code = BLOCKED.format(names=sorted(HEAVY - {"onnx"})) + (
        "import numpy as np\nfrom persona.device import Runtime, Store\nfrom tests.worlds import World\n"
        "Runtime(World().bundle).predict(np.zeros((4, 4), np.float32))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_fresh_core_install_has_none_of_them_and_predicts(tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", ROOT]
    subprocess.run([str(part) for part in install], check=True, timeout=800)
    listed = subprocess.run([str(python), "-m", "pip", "list"], capture_output=True, text=True, check=True)
    names = {line.split()[0].lower() for line in listed.stdout.splitlines() if line.strip()}
    assert "persona-edge" in names
    assert names & HEAVY == set()
    done = subprocess.run(
        [str(python.with_name("persona")), "--help"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert "persona-edge[cli]" in done.stderr
    imported = "from persona.device import Runtime, Store, HttpCloud"
    subprocess.run([str(python), "-c", imported], check=True, cwd=tmp_path)
