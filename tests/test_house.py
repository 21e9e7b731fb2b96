"""The house's own rules: measures, the direction of imports, shapes, and what no tracked file may contain."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from jaxtyping import TypeCheckError

import persona
from persona.model.features import standardise

ROOT = Path(__file__).resolve().parents[1]
# A path in somebody's home or workplace: meaningless on any other machine.
MACHINE_PATH = re.compile(r"(?<![\w.>)}-])/(?:home|Users|work|root|opt)/\w")


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)


def measure(folder: Path) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, ROOT / "scripts" / "measure.py", folder)


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of pyproject.toml on the package ``persona`` that lies in a folder."""
    linter = Path(sys.executable).with_name("lint-imports")
    return run(linter, "--no-cache", "--no-logo", "--config", ROOT / "pyproject.toml", cwd=root)


def a_function(lines: int) -> str:
    return "def long() -> None:\n" + "    pass\n" * (lines - 1)


def test_the_measures_hold() -> None:
    done = measure(ROOT / "persona")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "text", "offence"),
    [
        pytest.param("utils.py", "", "says nothing", id="a vague name"),
        pytest.param("long.py", "x = 1\n" * 401, "401 lines, at most 400", id="a long file"),
        pytest.param("median.py", "x = 1\n" * 121, "median 121", id="long files"),
        pytest.param("one.py", a_function(61) + a_function(3) * 20, "61 lines, at most 60", id="a long function"),
        pytest.param("all.py", a_function(36), "36 lines, 95 % may have 35", id="long functions"),
    ],
)
def test_the_measures_can_fail(tmp_path: Path, name: str, text: str, offence: str) -> None:
    (tmp_path / name).write_text(text)
    done = measure(tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path.name}/{name}" in done.stdout or name == "median.py"
    assert offence in done.stdout


def test_the_measures_want_a_folder_with_python(tmp_path: Path) -> None:
    done = measure(tmp_path)
    assert done.returncode == 2
    assert "no Python file" in done.stdout


def test_imports_point_one_way() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("device/model.py", "import torch", "persona.device is not allowed to import torch"),
        ("sketch.py", "from scipy import stats", "persona.sketch is not allowed to import scipy"),
        ("service/app.py", "import persona.training", "persona.service is not allowed to import persona.training"),
        ("edit.py", "import persona.bundle", "persona.edit is not allowed to import persona.bundle"),
        ("strange.py", "", "persona.strange"),
    ],
)
def test_the_import_contracts_can_fail(tmp_path: Path, module: str, line: str, broken: str) -> None:
    shutil.copytree(ROOT / "persona", tmp_path / "persona", ignore=shutil.ignore_patterns("__pycache__", "*.gz"))
    with (tmp_path / "persona" / module).open("a") as file:
        file.write(f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    assert broken in done.stdout, done.stdout


def test_shapes_are_checked_while_tests_run() -> None:
    with pytest.raises(TypeCheckError, match="center"):
        standardise(torch.zeros(2, 3), center=torch.zeros(4), scale=torch.ones(3))


def test_the_version_is_one() -> None:
    assert version("persona-edge") == persona.__version__


@pytest.mark.parametrize("path", sorted((ROOT / "persona").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_no_tracked_file_names_a_machine_path() -> None:
    listed = run("git", "ls-files", "-z")
    if listed.returncode != 0:
        pytest.skip("not a git checkout: which files are tracked is not known")
    found = [
        f"{name}: {match.group()}…"
        for name in filter(None, listed.stdout.split("\0"))
        if (ROOT / name).is_file()
        for match in [MACHINE_PATH.search((ROOT / name).read_text(encoding="utf-8", errors="replace"))]
        if match
    ]
    assert found == []


@pytest.mark.parametrize("folder", ["home", "Users", "work", "root", "opt"])
def test_a_machine_path_is_seen(folder: str) -> None:
    assert MACHINE_PATH.search(f'DATA = "/{folder}/somebody/data"')
    assert not MACHINE_PATH.search(f"docs/{folder}/index.md and $HOME/{folder}/x and ../{folder}/y")
