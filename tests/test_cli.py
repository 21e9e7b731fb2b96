"""The command line: help that teaches, errors that explain, exit codes one can rely on."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from persona.__main__ import main
from persona.bundle import write_export
from tests.worlds import World

VERBS = [
    ["train"],
    ["export"],
    ["keys"],
    ["keys", "new"],
    ["keys", "root"],
    ["keys", "rotate"],
    ["sign"],
    ["sign", "bundle"],
    ["sign", "freshness"],
    ["verify"],
    ["serve"],
    ["devices"],
    ["devices", "token"],
    ["devices", "list"],
    ["devices", "revoke"],
    ["device"],
    ["inspect"],
    ["fetch"],
    ["demo"],
    ["bench"],
    ["bench", "device"],
    ["bench", "recommendation"],
    ["bench", "service"],
]


def persona(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "persona", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=cwd)


# Every help text of one fresh process, which a verb that imports torch for its help would spoil for those after it.
HELPS = f"""
import json, sys
from typer.testing import CliRunner
from persona.cli import app
said = []
for verb in {VERBS!r}:
    done = CliRunner().invoke(app, [*verb, "--help"])
    said.append([done.exit_code, done.output, "torch" in sys.modules])
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def helps() -> dict[str, list[Any]]:
    done = subprocess.run([sys.executable, "-c", HELPS], capture_output=True, text=True, check=True)
    return dict(zip(map(" ".join, VERBS), json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("verb", [" ".join(verb) for verb in VERBS])
def test_every_verb_explains_itself_without_torch(helps: dict[str, list[Any]], verb: str) -> None:
    exit_code, text, with_torch = helps[verb]
    assert exit_code == 0, text
    assert len(text.split()) > 20, "a help text should say what the verb does"
    assert not with_torch


def test_inspect_shows_layers_sizes_prototypes_and_fingerprint(tmp_path: Path) -> None:
    bundle = write_export(tmp_path, World().bundle, b"encoder")
    shown = persona("inspect", str(tmp_path))
    assert shown.returncode == 0
    for word in (bundle.fingerprint, "head.weight", "Sizes", "prototype"):
        assert word in "".join(shown.stdout.split("\n")) or word in shown.stdout
    facts = json.loads(persona("inspect", "--json", str(tmp_path / "device.persona")).stdout)
    assert facts["fingerprint"] == bundle.fingerprint
    assert len(facts["bank"]["prototypes"]) == 2


# An error of each verb that the others stand for, and what it says: these run in a process of their own.
ERRORS = [
    (["inspect", "no-such-bundle"], "no-such-bundle"),
    (["serve", "no-such-bundle", "--port", "0"], "no-such-bundle"),
    (["train", "--out", "x", "--data", "no-such-folder"], "no-such-folder"),
    (["device", "http://127.0.0.1:9", "--out", "x", "--controls", "y", "--insecure-unsigned"], "127.0.0.1:9"),
    (["verify", "no-such-bundle", "--root", "no-such-root"], "no-such-root"),
]
# More of them, which run in this process: torch is imported in it already, and takes longest.
MORE_ERRORS = [
    (["export", "no-such-run", "--out", "x"], "persona train"),
    (["train", "--out", "x", "--task", "no-such-task"], "vision"),
    (["train", "--out", "x", "--editable", "nothing*"], "nothing*"),
    (["demo", "--out", "x", "--data", "no-such-folder"], "no-such-folder"),
    (["device", "http://127.0.0.1:9", "--out", "x"], "--insecure-unsigned"),
    (["device", "http://127.0.0.1:9", "--out", "x", "--root", "no-such-root"], "no-such-root"),
    (["keys", "root", "x"], "--root-key"),
    (["keys", "rotate", "x", "--sign-with", "no-such-key"], "x/trust"),
    (["sign", "bundle", "x", "--release-key", "no-such-key", "--freshness-key", "y"], "no-such-key"),
    (["serve", "x", "--reply-key", "no-such-key"], "no-such-key"),
]


def called(value: object) -> str:
    """Return the name of a case: its arguments."""
    return " ".join(value) if isinstance(value, list) else ""


@pytest.mark.parametrize(("arguments", "said"), ERRORS, ids=called)
def test_an_error_is_one_line_that_explains_and_exit_code_1(arguments: list[str], said: str, tmp_path: Path) -> None:
    ended = persona(*arguments, cwd=tmp_path)
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == [], "an error must not leave half a result behind"


@pytest.mark.parametrize(("arguments", "said"), MORE_ERRORS, ids=called)
def test_more_errors_explain_themselves(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["persona", *arguments])
    monkeypatch.setattr(logging.getLogger("persona"), "level", logging.NOTSET)  # main sets it: undone afterwards
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert said in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == [], "an error must not leave half a result behind"


@pytest.mark.parametrize("arguments", [["no-such-verb"], ["train"], ["serve", "x", "--port", "70000"]], ids=" ".join)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    assert persona(*arguments).returncode == 2


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    blocked = "import sys\nsys.modules['torch'] = None\nfrom persona.cli import main\n"
    arguments = f"sys.argv = ['persona', 'train', '--out', {str(tmp_path / 'run')!r}]\nmain()\n"
    ended = subprocess.run([sys.executable, "-c", blocked + arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "pip install 'persona-edge[train]'" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", ["a[/x]", "[bold]b[/bold]", "[link=http://x]c[/link]"])
def test_names_in_a_bundle_are_shown_as_they_are(name: str) -> None:
    from rich.console import Console

    from persona.inspection import facts_of, tables_of

    facts = facts_of(World().bundle)
    facts["layers"][0]["name"] = facts["layers"][0]["tensors"][0]["name"] = facts["taps"][0]["name"] = name
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(*tables_of(facts))
    assert console.export_text().count(name) == 4
