"""The command line: help that teaches, errors that explain, exit codes one can rely on."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

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
    ["device"],
    ["inspect"],
    ["fetch"],
    ["demo"],
    ["bench"],
    ["bench", "device"],
    ["bench", "recommendation"],
    ["bench", "service"],
]


def persona(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "persona", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_explains_itself_without_torch(verb: list[str]) -> None:
    code = f"import sys\nfrom persona.cli import app\napp({[*verb, '--help']!r}, standalone_mode=False)\n"
    ended = subprocess.run(
        [sys.executable, "-c", code + "assert 'torch' not in sys.modules"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.split()) > 20, "a help text should say what the verb does"


def test_inspect_shows_layers_sizes_prototypes_and_fingerprint(tmp_path: Path) -> None:
    bundle = write_export(tmp_path, World().bundle, b"encoder")
    shown = persona("inspect", str(tmp_path))
    assert shown.returncode == 0
    for word in (bundle.fingerprint, "head.weight", "Sizes", "prototype"):
        assert word in "".join(shown.stdout.split("\n")) or word in shown.stdout
    facts = json.loads(persona("inspect", "--json", str(tmp_path / "device.persona")).stdout)
    assert facts["fingerprint"] == bundle.fingerprint
    assert len(facts["bank"]["prototypes"]) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["inspect", "no-such-bundle"], "no-such-bundle"),
        (["export", "no-such-run", "--out", "x"], "persona train"),
        (["serve", "no-such-bundle", "--port", "0"], "no-such-bundle"),
        (["train", "--out", "x", "--data", "no-such-folder"], "no-such-folder"),
        (["train", "--out", "x", "--task", "no-such-task"], "vision"),
        (["train", "--out", "x", "--editable", "nothing*"], "nothing*"),
        (["demo", "--out", "x", "--data", "no-such-folder"], "no-such-folder"),
        (["device", "http://127.0.0.1:9", "--out", "x", "--controls", "y", "--insecure-unsigned"], "127.0.0.1:9"),
        (["device", "http://127.0.0.1:9", "--out", "x"], "--insecure-unsigned"),
        (["device", "http://127.0.0.1:9", "--out", "x", "--root", "no-such-root"], "no-such-root"),
        (["verify", "no-such-bundle", "--root", "no-such-root"], "no-such-root"),
        (["keys", "root", "x"], "--root-key"),
        (["keys", "rotate", "x", "--sign-with", "no-such-key"], "x/trust"),
        (["sign", "bundle", "x", "--release-key", "no-such-key", "--freshness-key", "y"], "no-such-key"),
        (["serve", "x", "--reply-key", "no-such-key"], "no-such-key"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_error_is_one_line_that_explains_and_exit_code_1(arguments: list[str], said: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "persona", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
    )
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
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
