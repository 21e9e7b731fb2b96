"""Targets on stored results that meet them all, that miss one by a known figure, and that are not there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from persona.bench.verdict import Verdict, all_met, table_of
from persona.bench.vision.prices import STEP_MS
from persona.bench.vision.results import load_results
from persona.bench.vision.roles import OURS_ROW, PACS, PRIMARY
from persona.bench.vision.store import Unit, write_costs
from persona.bench.vision.verdict import stored_verdicts, verdicts
from persona.cli import app
from persona.errors import DataError
from tests.bench.device.figures import stored
from tests.bench.vision.storing import grid, store, store_everything

ALL = {*(f"A{number}" for number in range(1, 10)), "C5"}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    store_everything(root)
    write_costs(root / PRIMARY, OURS_ROW, {"backward_passes": 0, STEP_MS: 150})
    write_costs(root / PRIMARY, "static", {STEP_MS: 50})
    return root


def judged(root: Path) -> dict[str, Verdict]:
    return {verdict.asked: verdict for verdict in verdicts(load_results(root))}


def copied(everything: Path, to: Path) -> Path:
    shutil.copytree(everything, to / "results")
    return to / "results"


def test_thirty_points_everywhere_meet_every_target(everything: Path) -> None:
    found = verdicts(load_results(everything))
    assert {verdict.target for verdict in found} == ALL
    assert [v for v in found if v.outcome != "met"] == []
    assert all_met(found)
    gains = {v.found.partition(" ")[0] for v in found if "points over" in v.found}
    assert gains == {"+30.00"}
    assert {v.interval for v in found if "points over" in v.found} == {"[+30.00, +30.00]"}


def test_nothing_stored_is_nothing_measured(tmp_path: Path) -> None:
    found = stored_verdicts(tmp_path)
    assert {verdict.target for verdict in found} == ALL
    assert {verdict.outcome for verdict in found} == {"not measured"}
    assert table_of(found).row_count == len(found)


@pytest.mark.parametrize(
    ("setting", "rows", "asked", "said"),
    [
        ("iid-seen", {"tent": 15}, "iid-seen: every peer + 7", "+5.00 points over `tent`"),
        ("iid-seen", {"static": 15}, "iid-seen: static at equal compute + 9", "+5.00 points over `static`"),
        ("iid-seen", {"static": 14}, "iid-seen: 10th percentile, static + 14", "+10.00 points over `static`"),
        ("iid-seen", {"cema": 17}, "iid-seen: worst device ≥ every peer's", "80.0 against 85.0 of `cema`"),
        ("skew-seen", {"lame": 15}, "skew-seen: every peer + 6", "+5.00 points over `lame`"),
        (
            "iid-seen",
            {OURS_ROW: {"same": 16, "causal": 15}},
            "iid-seen, causal: keeps 95 % of the gain",
            "83.3 % of +30",
        ),
        ("skew-seen", {f"{OURS_ROW}-delay-3": 15}, "skew-seen, 2 to 5 windows late: keeps 85 %", "(`persona-delay-3`)"),
        ("gradual", {OURS_ROW: {"same": 16, "causal": 15}}, "gradual, causal: keeps 85 %", "83.3 %"),
        ("skew-held", {"alpha-bn": 16}, "skew-held: α-BN + 4", "+0.00 points over `alpha-bn`"),
        ("family-fog", {"static": 17}, "no single family below static − 0.3", "-5.00 points on fog, the worst of 18"),
        ("clean", {"static": 17}, "clean: no harm", "-5.00 points over `static`"),
        ("iid-seen", {f"{OURS_ROW}-k64": 15}, "iid-seen: 64 prototypes keep 95 %", "83.3 %"),
        ("skew-seen", {f"{OURS_ROW}-k16": 15}, "skew-seen: 16 prototypes keep 90 %", "83.3 %"),
        ("iid-seen", {"mean-edit": 11}, "iid-seen: the mean edit keeps nothing", "+5.00 points of `mean-edit`"),
        ("skew-seen", {"finetune": 16}, "skew-seen: above labelled fine-tuning", "+0.00 points over `finetune`"),
        ("c-correlated", {"roid": 16}, "c-correlated: above ROID", "+0.00 points over `roid`"),
    ],
)
def test_each_target_can_be_missed(
    everything: Path, tmp_path: Path, setting: str, rows: dict[str, int], asked: str, said: str
) -> None:
    root = copied(everything, tmp_path)
    store(root / PRIMARY, setting, rows)
    verdict = judged(root)[asked]
    assert verdict.outcome == "missed"
    assert said in verdict.found


def test_the_first_window_is_judged_by_itself(everything: Path, tmp_path: Path) -> None:
    root = copied(everything, tmp_path)
    late = grid(16)
    late[:, 2] = 15  # 5 points less in the first window after the shift, and nowhere else
    store(root / PRIMARY, "iid-seen", {OURS_ROW: {"same": 16, "causal": late}})
    found = judged(root)
    assert found["iid-seen: first window within 2 points"].outcome == "missed"
    assert "+5.00 points" in found["iid-seen: first window within 2 points"].found
    assert found["iid-seen, causal: keeps 95 % of the gain"].outcome == "met"


def test_a_backward_pass_misses(everything: Path, tmp_path: Path) -> None:
    root = copied(everything, tmp_path)
    write_costs(root / PRIMARY, OURS_ROW, {"backward_passes": 1})
    assert judged(root)["no backward pass on the device"].outcome == "missed"


def test_a_long_training_step_misses(everything: Path, tmp_path: Path) -> None:
    root, asked = copied(everything, tmp_path), "a training step ≤ 3 × the plain net's"
    assert judged(root)[asked].found == "3.00 times (150 against 50 ms)"
    write_costs(root / PRIMARY, "static", {STEP_MS: 49})
    assert judged(root)[asked].outcome == "missed"
    write_costs(root / PRIMARY, "static", {})
    assert judged(root)[asked].outcome == "not measured"


def test_half_the_margins_on_cifar(everything: Path, tmp_path: Path) -> None:
    root = copied(everything, tmp_path)
    for setting in ("iid-seen", "skew-seen"):
        store(root / "cifar10/resnet-8", setting, {"tent": 15})  # 5 points behind: above 3.5 and 3, not above 7 and 6
    found = judged(root)
    assert found["CIFAR-10, resnet-8, A1: iid-seen: every peer + 3.5"].outcome == "met"
    assert found["CIFAR-10, resnet-8, A2: skew-seen: every peer + 3"].outcome == "met"


def test_pacs_is_judged_on_the_mean_of_its_four(everything: Path, tmp_path: Path) -> None:
    root, asked = copied(everything, tmp_path), "PACS, iid-seen, mean of four: above static and every peer"
    store(root / PACS[0], "iid-seen", {"bn": 20})
    assert judged(root)[asked].found == "+17.50 points over `bn`"  # (−20 + 3 · 30) / 4
    for name in PACS[1:]:
        store(root / name, "iid-seen", {"bn": 17})
    assert judged(root)[asked].outcome == "missed"
    Unit(0, 11, "iid-seen").path(root / PACS[3]).unlink()
    assert judged(root)[asked].outcome == "not measured"
    assert PACS[3] in judged(root)[asked].found


def test_a_peer_that_was_not_run_leaves_a_best_peer_open(tmp_path: Path) -> None:
    store(tmp_path / PRIMARY, "iid-seen", {OURS_ROW: 16, "static": 10})
    verdict = judged(tmp_path)["iid-seen: every peer + 7"]
    assert verdict.outcome == "not measured"
    assert "`cotta`" in verdict.found
    store(tmp_path / PRIMARY, "iid-seen", {"tent": 16})
    assert judged(tmp_path)["iid-seen: every peer + 7"].outcome == "missed", "no peer more would mend that"


def test_no_gain_leaves_nothing_to_keep(tmp_path: Path) -> None:
    store(tmp_path / PRIMARY, "iid-seen", {OURS_ROW: 10, "static": 10})
    verdict = judged(tmp_path)["iid-seen, causal: keeps 95 % of the gain"]
    assert (verdict.outcome, verdict.found) == ("missed", "no gain to keep (+0.0 points)")


def test_rows_on_other_seeds_are_not_compared(tmp_path: Path) -> None:
    store(tmp_path / PRIMARY, "clean", {OURS_ROW: 16})
    store(tmp_path / PRIMARY, "clean", {"static": 10}, ((0,), (12,)))
    assert judged(tmp_path)["clean: no harm"].outcome == "not measured"


def test_damaged_results_are_told(tmp_path: Path) -> None:
    store(tmp_path / PRIMARY, "clean", {OURS_ROW: 16})
    Unit(0, 11, "clean").path(tmp_path / PRIMARY).write_text("{")
    with pytest.raises(DataError, match="damaged"):
        stored_verdicts(tmp_path)


def asked_for(vision: Path, device: Path) -> list[str]:
    """Return the arguments that ask for the verdicts on stored results."""
    which = ["--benchmark", "vision", "--benchmark", "device"]
    return ["bench", "verdict", "--results", str(vision), "--device", str(device), *which]


def test_the_verb_exits_with_0_where_all_is_met(everything: Path, tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, asked_for(everything, stored(tmp_path)))
    assert ended.exit_code == 0, ended.output
    assert "not measured" in ended.stdout
    assert ended.stderr == ""


def test_the_verb_exits_with_1_where_not_all_is_met(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "persona", *asked_for(tmp_path, stored(tmp_path))]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    assert "not measured" in ended.stdout
    assert ended.stderr == ""
