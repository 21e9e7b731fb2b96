"""Docs are claims: their Python runs, their links lead somewhere, and the command line they show exists."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from persona.bundle import write_export
from tests.signed import Owner
from tests.worlds import World

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> str:
    """Return all Python of a page, to be run as one."""
    return "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    world = World()
    write_export(tmp_path, world.bundle, b"an encoder, which no device reads")
    given: dict[str, Any] = {"path": tmp_path, "x": np.zeros((4, 4), np.float32), "root": Owner().root()}
    exec(compile(blocks(page), str(page), "exec"), given)  # noqa: S102 : our own pages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_every_verb_of_the_readme_exists() -> None:
    from typer.main import get_command

    from persona.cli import app

    verbs = set(get_command(app).commands)  # type: ignore[attr-defined]
    named = set(re.findall(r"`persona ([\w-]+)", (ROOT / "README.md").read_text()))
    assert named == verbs, "the README's command line and the real one differ"


def test_the_readmes_figures_are_those_of_the_kept_results() -> None:
    spec = importlib.util.spec_from_file_location("figures", ROOT / "scripts" / "figures.py")
    assert spec is not None
    assert spec.loader is not None
    figures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(figures)
    readme = (ROOT / "README.md").read_text()
    assert figures.with_table(readme, json.loads(figures.RESULTS.read_text())) == readme, "run scripts/figures.py"
