"""A whole run of the benchmark in its own processes: cut off, taken up again, read, judged."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from persona.bench.store import read_rows
from persona.bench.vision.drive import Track, follow
from persona.bench.vision.job import Job
from persona.bench.vision.results import load_results
from persona.bench.vision.roles import PRIMARY
from persona.bench.vision.rows import build
from persona.bench.vision.run import packed, run, times
from persona.bench.vision.settings import SETTINGS
from persona.bench.vision.store import pack, read_costs, unpack
from persona.bench.vision.verdict import verdicts
from tests.bench.vision.conftest import PLAN, ROWS

GUESS, CHOOSY = "tests.bench.vision.methods:Guess", "tests.bench.vision.methods:Choosy"


class CutOff(Exception):
    """What ends the first run."""


def cut_off_after_training(what: str, done: float, total: float) -> None:
    """Raise as soon as every net is trained."""
    if what.startswith("training: every net") and done == total:
        raise CutOff


def times_of(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_that_is_cut_off_goes_on_where_it_was_and_is_judged(tmp_path: Path) -> None:
    job = Job(PLAN, ("iid-seen",), (*ROWS, GUESS, CHOOSY), tmp_path / "results", tmp_path / "nets")
    with pytest.raises(CutOff):
        run(job, 1, cut_off_after_training)
    trained = times_of(job.nets)
    assert len([path for path in trained if path.suffix == ".safetensors"]) == 10, "base, warm, teacher and seven more"
    assert not job.results.exists()

    heard: dict[str, tuple[float, float]] = {}
    run(job, 1, lambda what, done, total: heard.update({what: (done, total)}))
    assert heard["streams"] == (6, 6)
    assert heard["tuning peers on validation streams"] == (2, 2)
    assert {path: at for path, at in times_of(job.nets).items() if path in trained} == trained
    _check_rows(job)

    before = times_of(tmp_path)
    run(replace(job, rows=(*ROWS, GUESS)), 1, _never)
    assert times_of(tmp_path) == before
    _check_judged(job, tmp_path)


def _never(what: str, done: float, total: float) -> None:
    raise AssertionError(f"nothing was missing, and yet: {what}")


def _check_rows(job: Job) -> None:
    """What is stored is what following the streams here gives, window by window."""
    unit = job.units()[0]
    content = read_rows(unit.path(job.folder))
    assert content["plan"] == PLAN.to_json()
    assert content["first"] == [0, 1, 1, 1]
    assert set(content["rows"]) == {*ROWS, GUESS}, "a method that suits no net has no row"
    assert set(read_costs(job.folder)) == {*ROWS, GUESS}
    streams = [list(stream) for stream in SETTINGS["iid-seen"](job.task(), job.plan, unit.stream)]
    trained = job.trained(0)
    for name, row in content["rows"].items():
        tracks = follow(build(name)(trained), streams)
        for timing in ("same", "causal"):
            assert row[timing] == pack(np.array([getattr(track, timing) for track in tracks])), (name, timing)
        assert unpack(row["constant"], 4).shape == (2, 4)
    labels = np.array([[int((window.y == 0).sum()) for window in stream] for stream in streams])
    assert content["rows"][GUESS]["same"] == content["rows"][GUESS]["constant"] == pack(labels)


def _check_judged(job: Job, folder: Path) -> None:
    """The page and the verdicts read what was stored; under the primary name, targets are measured."""
    primary = folder / "primary" / PRIMARY
    shutil.copytree(job.folder, primary)
    stored = load_results(folder / "primary")[PRIMARY]
    assert set(stored.table["iid-seen"]["same"]) == {*ROWS, GUESS}
    assert stored.costs["persona"]["backward_passes"] == 0
    assert stored.costs["persona"]["flops"] >= 2 * stored.costs["static"]["flops"], "a sketch, and then the edited pass"
    assert stored.costs["persona"]["up_bytes"] > 0
    assert all(stored.costs["persona"][f"{verb}_ms_p99"] > 0 for verb in ("step", "answer"))
    outcomes = {verdict.outcome for verdict in verdicts({PRIMARY: stored})}
    assert outcomes > {"not measured"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_net_is_run_without_the_peers_that_do_not_suit_it(tmp_path: Path) -> None:
    """Two of these rows adapt batch normalisation, and this net has none."""
    plan = replace(PLAN, backbone="cnn-gn")
    job = Job(plan, ("iid-seen",), ("static", "alpha-bn", "arm-bn"), tmp_path / "results", tmp_path / "nets")
    run(job, 1, lambda what, done, total: None)
    assert set(read_rows(job.units()[0].path(job.folder))["rows"]) == {"static"}
    assert set(read_costs(job.folder)) == {"static"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_training_seed_has_the_nets_and_rows_that_were_wanted(tmp_path: Path) -> None:
    rows = ("static", "wider-head", "duet")
    job = Job(replace(PLAN, train_seeds=(0, 1)), ("iid-seen",), rows, tmp_path / "results", tmp_path / "nets")
    run(job, 1, lambda what, done, total: None)
    assert [set(read_rows(unit.path(job.folder))["rows"]) for unit in job.units()] == [set(rows)] * 2
    for seed in (0, 1):
        folder = job.nets / job.plan.name / f"seed-{seed}"
        assert (folder / "wider.safetensors").exists()
        assert not (folder / "arm-bn.safetensors").exists()
    assert not (job.nets / job.plan.name / "seed-0" / "teacher.safetensors").exists()


def test_rows_are_kept_by_timing_and_times_apart() -> None:
    tracks = [Track([1, 2], [0, 2], [10.0, 30.0], [1.0, 3.0], 1), Track([3, 4], [3, 3], [20.0, 20.0], [2.0, 2.0])]
    found = packed(tracks)
    assert (found["same"], found["causal"], found["refused"]) == ("1234", "0233", 1)
    assert set(found) == {"same", "causal", "refused"}
    assert (times(tracks)["step_ms_p50"], times(tracks)["answer_ms_p50"]) == (20, 2)
    assert times(tracks)["step_ms_p99"] == pytest.approx(29.7)
