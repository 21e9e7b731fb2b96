"""The paper's protocol: last events among some items never met, by everybody with the same history."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score

from persona.bench.recommendation.command import Wanted
from persona.bench.recommendation.page import write_page
from persona.bench.recommendation.paper import PAPER_ROWS, among
from persona.bench.recommendation.plan import PAPER_READ, Plan, Sizes
from persona.bench.recommendation.run import Job, run
from persona.bench.recommendation.summary import load_results
from persona.bench.recommendation.worlds import open_world
from persona.errors import CatalogError, DataError

DATA = "tests.bench.recommendation.worlds:tiny"
SIZES = Sizes(d=8, epochs=1, batch=64, length=PAPER_READ)


def silent(what: str, done: float, total: float) -> None:
    pass


def paper_plan() -> Plan:
    return replace(Plan.of_paper(DATA), seeds=(0,), sizes=SIZES, epochs=1, rates=(2e-3,), negatives=20)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("paper")
    run(Job(paper_plan(), root, root / "results", root / "nets"), silent)
    return root


def test_rank_loss_and_auc_are_those_of_scikit_learn() -> None:
    scores = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 8)).round(1))
    found = among(scores)
    labels = np.zeros(scores.shape)
    labels[:, 0] = 1
    assert found.figures["auc"] == pytest.approx(roc_auc_score(labels.ravel(), scores.numpy().ravel()))
    each = [roc_auc_score(one, row) for one, row in zip(labels, scores.numpy(), strict=True)]
    np.testing.assert_allclose((8 - found.ranks) / 7, each)  # of one query a user, a rank is an AUC
    chances = torch.sigmoid(scores).numpy()
    assert found.losses.mean() == pytest.approx(log_loss(labels.ravel(), chances.ravel()))


def test_level_scores_come_out_in_the_middle() -> None:
    found = among(torch.zeros(3, 5))
    assert found.ranks.tolist() == [3.0] * 3
    assert found.figures["auc"] == 0.5


def test_targets_have_ten_events_before_them_and_are_last(tmp_path: Path) -> None:
    world = open_world(paper_plan(), tmp_path)
    log = world.log
    for positions in (world.base.train, world.base.validation, world.base.test, world.choosing):
        assert (positions - log.offsets[log.users[positions]]).min() >= 10
    assert set(world.base.test) <= set(log.offsets[1:] - 1)


def test_every_row_is_stored_beside_the_others_and_has_a_table_of_its_own(stored: Path, tmp_path: Path) -> None:
    (one,) = load_results(stored / "results").values()
    assert one.name.endswith("/paper")
    assert {*PAPER_ROWS, "ours-mean", "ours-shuffled"} <= set(one.cells)
    for cell in one.cells.values():
        assert 1 <= cell.ranks.min() <= cell.ranks.max() <= 21
        assert 0 <= cell.figures["auc"][0] <= 1
    out = tmp_path / "page.md"
    write_page(stored / "results", out, tmp_path / "absent.md")
    text = out.read_text()
    for wanted in (
        "user-AUC",
        "NDCG@20",
        "--protocol paper",
        "Among a sample",
        "the public recipe",
        "base (window 30)",
    ):
        assert wanted in text
    assert "By segment" not in text


def test_other_rows_and_other_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no row 'ceiling'"):
        Job(paper_plan(), tmp_path, tmp_path, tmp_path, ("ceiling",))
    with pytest.raises(DataError, match="last event"):
        replace(paper_plan(), setting="users")
    with pytest.raises(DataError, match="there is no protocol 'papper'"):
        replace(paper_plan(), protocol="papper")
    with pytest.raises(DataError, match="draw fewer"):
        run(Job(replace(paper_plan(), negatives=99), tmp_path, tmp_path, tmp_path, ("popularity",)), silent)


def test_the_command_names_the_protocol(tmp_path: Path) -> None:
    job = Wanted(DATA, tmp_path, setting="stale", protocol="paper").job(tmp_path, tmp_path)
    assert job.plan.name.endswith("/paper")
    assert job.wanted == PAPER_ROWS


def test_no_long_history_is_no_query(tmp_path: Path) -> None:
    data = "tests.bench.recommendation.worlds:brief"
    with pytest.raises(DataError, match="10 events before it"):
        open_world(replace(paper_plan(), data=data), tmp_path)
