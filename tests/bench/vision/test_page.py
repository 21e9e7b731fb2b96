"""The page: generated from stored results alone, the same from the same, and never out of date."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from persona.bench.vision.page import page, write_page
from persona.bench.vision.plots import PLOTS
from persona.bench.vision.results import load_results
from persona.bench.vision.roles import MAIN, OURS_ROW, PRIMARY
from persona.bench.vision.store import write_costs
from persona.errors import DataError
from tests.bench.vision.storing import store

ROOT = Path(__file__).resolve().parents[3]
RESULTS, PAGE, NOTES = (
    ROOT / part for part in ("benchmarks/results/vision", "docs/benchmarks.md", "benchmarks/vision/notes.md")
)


def test_the_kept_page_is_what_the_kept_results_give() -> None:
    if not any(RESULTS.glob("*/*/*.json")):
        pytest.skip("no results of the vision benchmark are stored yet")
    notes = NOTES.read_text(encoding="utf-8") if NOTES.exists() else ""
    assert PAGE.read_text(encoding="utf-8") == page(load_results(RESULTS), notes), "run `persona bench page`"


def lines_of(text: str, title: str) -> list[str]:
    """Return the rows of the table under a heading of the first data set."""
    part = text.partition(f" {title}\n")[2].partition("\n#")[0]
    return [line for line in part.splitlines() if line.startswith("|")]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("results")
    folder = root / PRIMARY
    for setting in MAIN:
        store(folder, setting, {OURS_ROW: 16, "static": 10, "tent": 10, "mean-edit": 10, "finetune": 10})
    for k in (4, 16):
        store(folder, "iid-seen", {f"{OURS_ROW}-k{k}-no-prior": 10 + k // 4})
    store(folder, "iid-seen", {"tent": {"same": 18, "causal": 10, "constant": 8}})
    store(folder, "iid-seen", {OURS_ROW: 16, "static": 10}, ((0,), (11, 12)))
    write_costs(folder, OURS_ROW, {"flops": 2_000_000, "backward_passes": 0, "up_bytes": 1096})
    write_costs(folder, "tent", {"step_ms_p50": 2.0})
    ablations = root / f"{PRIMARY}-ablations"
    for setting in ("iid-seen", "clean"):
        whole = {"same": 16, "causal": 16, "default": True}
        store(ablations, setting, {"transfer/shared": whole, "transfer/none": 14, "code/norm": whole, "code/tanh": 16})
    store(ablations, "drift", {"refinement/on": {"same": 12, "default": True}, "refinement/off": {"same": 14},
                               "refinement/whole code": {"same": 18, "reference": True}})  # fmt: skip
    return page(load_results(root), "Hand-written words.\n")


def test_the_main_table_has_differences_to_static(text: str) -> None:
    rows = lines_of(text, "Same window: the window that was used to adapt is predicted")
    assert rows[0].startswith("| row | iid-seen | skew-seen | iid-held | skew-held | clean |")
    assert rows[2].startswith("| `static` | 50.0 | 50.0 |")
    assert any(row.startswith("| `persona` | **80.0** (+30.0 [+30.0, +30.0]) |") for row in rows)
    assert any(row.startswith("| `tent` † | 90.0 (+40.0 [+40.0, +40.0]) |") for row in rows)
    assert "`tent` on stream seeds 11, training seeds 0" in text


def test_where_it_loses_is_beside_the_headline(text: str) -> None:
    rows = lines_of(text, "Where it loses")
    assert "| iid-seen | same | mean | `tent` | -10.0 [-10.0, -10.0] | 1 |" in rows
    assert not any("skew" in row for row in rows)
    assert text.index("Where it loses") < text.index("Causal:")


def test_the_other_tables_hold_their_figures(text: str) -> None:
    assert "| `tent` | 40.0 |  |  |  |  |" in lines_of(text, "Constant speed: a slow method misses windows")
    assert "| 4 | 55.0 (+5.0 [+5.0, +5.0]) |  |  |  |  |" in lines_of(text, "Prototypes")
    assert "| `persona` | +30.0 [+30.0, +30.0] | +30.0 | no |" in lines_of(text, "Harm where nothing shifts")
    costs = lines_of(text, "Costs")
    assert costs[2] == "| `persona` |  | 2.0 | 0 | 1,096 |"
    assert "| `tent` | 2.00 |  |  |  |" in costs
    assert "| `persona` | 80.0 | 80.0 | 80.0 | 0.0 | 80.0 | 80.0 | 80.0 | 0.0 |" in lines_of(
        text, "The hardest devices, and what follows a shift"
    )


def test_an_ablation_says_whether_it_earns_its_keep(text: str) -> None:
    assert "| `none` | 70.0 (-10.0 [-10.0, -10.0]) |" in "\n".join(lines_of(text, "transfer"))
    assert "`shared` earns its keep: +10.0 [+10.0, +10.0] points against `none`" in text
    assert "`norm` does not earn its keep here: +0.0 [+0.0, +0.0] points against `tanh`" in text
    assert lines_of(text, "refinement")[0] == "| choice | drift |"
    assert "`on` does not earn its keep, and costs: -10.0 [-10.0, -10.0] points against `off`" in text


def test_what_the_figures_depend_on_is_said(text: str) -> None:
    for word in ("Training seeds 0; stream seeds 11, 12", "Commit 0123456789ab", "numpy 2", "window_size 20", "A9"):
        assert word in text
    assert text.endswith("## What was tried\n\nHand-written words.\n")
    assert "`persona bench vision --data fashion-mnist --backbone cnn-bn --folder FOLDER`" in text


def test_the_verb_writes_the_same_page_and_plots_twice(tmp_path: Path) -> None:
    root = tmp_path / "results"
    store(
        root / PRIMARY,
        "iid-seen",
        {OURS_ROW: 16, "static": 10, f"{OURS_ROW}-k4-no-prior": 12, f"{OURS_ROW}-no-prior": 14},
    )
    write_costs(root / PRIMARY, OURS_ROW, {"flops": 2_000_000})
    out = tmp_path / "docs" / "benchmarks.md"
    notes = tmp_path / "no-notes.md"
    command = [sys.executable, "-m", "persona", "bench", "page", "--results", str(root), "--out", str(out)]
    command += ["--recommendation", str(tmp_path / "none"), "--device", str(tmp_path / "none.json")]
    assert subprocess.run([*command, "--notes", str(notes)], capture_output=True, check=False).returncode == 0
    first = {path: path.read_bytes() for path in out.parent.rglob("*") if path.is_file()}
    assert {path.name for path in first} == {out.name, *(f"fashion-mnist-cnn-bn-{kind}.svg" for kind in PLOTS)}
    for path in first:
        assert path == out or f"(benchmarks/{path.name})" in out.read_text()
    write_page(root, out, notes)
    assert {path: path.read_bytes() for path in out.parent.rglob("*") if path.is_file()} == first


def test_no_results_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no results"):
        write_page(tmp_path, tmp_path / "page.md", tmp_path / "notes.md")
