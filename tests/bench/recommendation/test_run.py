import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from persona.bench.recommendation.judges import recommendation_verdicts
from persona.bench.recommendation.page import write_page
from persona.bench.recommendation.plan import Plan, Setting, Sizes
from persona.bench.recommendation.rows import ROWS, ours, run_row
from persona.bench.recommendation.run import Job, run
from persona.bench.recommendation.store import pack_ranks, pack_whole, seed_path
from persona.bench.recommendation.summary import FRESH, RETURNING, load_results
from persona.bench.recommendation.tables import levels_table, losing_table, segment_table
from persona.bench.recommendation.workbench import Workbench
from persona.bench.recommendation.worlds import open_world
from persona.bench.store import read_rows
from persona.cli import app
from persona.errors import CatalogError, DataError
from persona.tasks.recommendation.metrics import gains
from persona.training.heads import answers
from persona.training.loop import seeded

DATA = "tests.bench.recommendation.worlds:tiny"
SIZES = Sizes(d=8, epochs=1, batch=64)


def plan_of(setting: Setting) -> Plan:
    return Plan(DATA, setting, (0,), SIZES, asked=60, validated=30, epochs=1, rates=(2e-3,), broadcast_steps=4)


def job_of(setting: Setting, root: Path, rows: tuple[str, ...] | None = None) -> Job:
    return Job(plan_of(setting), root, root / "results", root / "nets", rows)


def silent(what: str, done: float, total: float) -> None:
    pass


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bench")
    run(job_of("users", root, ("base", "popularity", "ours", "constant")), silent)
    run(job_of("stale", root, ("base", "broadcast", "retrained", "ours")), silent)
    return root


def test_rows_and_their_controls_are_stored_and_not_done_again(stored: Path) -> None:
    job = job_of("users", stored, ("base", "ours"))
    path = seed_path(job.folder, 0)
    before = path.read_bytes()
    run(job, silent)
    assert path.read_bytes() == before
    content = read_rows(path)
    assert set(content["rows"]) == {
        "base",
        "popularity",
        "ours",
        "ours-mean",
        "ours-shuffled",
        *(f"ours-{policy}-{budget}" for policy in ("every", "random", "drift", "predicted") for budget in (10, 30)),
        "constant",
    }
    assert content["rows"]["popularity"]["losses"] is None
    assert {"commit", "machine", "versions", "plan", "seed", "world", "queries"} <= set(content)


def test_another_plan_is_not_mixed_in(stored: Path) -> None:
    job = job_of("users", stored, ("markov",))
    with pytest.raises(DataError, match="another plan"):
        run(replace(job, plan=replace(job.plan, epochs=2)), silent)


def test_what_is_stored_makes_a_page_and_verdicts(stored: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.md"
    write_page(stored / "results", out, tmp_path / "absent.md")
    text = out.read_text()
    for wanted in (
        "## Targets",
        "Each level by itself",
        "broadcast: of the NDCG gap",
        "another user's edit",
        "[",
        "NLL",
    ):
        assert wanted in text
    found = recommendation_verdicts(stored / "results")
    assert {verdict.target for verdict in found} == {f"R{number}" for number in range(1, 7)}
    assert {v.outcome for v in found if v.target == "R3"} <= {"met", "missed", "not measured"}


def test_the_recent_period_lies_between_the_bases_and_the_queries(tmp_path: Path) -> None:
    world = open_world(plan_of("stale"), tmp_path)
    times = world.log.needs_times("a test")
    assert times[world.base.train].max() <= times[world.recent].min()
    assert times[world.recent].max() <= times[world.base.validation].min()
    assert (np.diff(times[world.recent]) >= 0).all()


def test_a_world_that_is_made_bounds_what_can_be_won(tmp_path: Path) -> None:
    plan = replace(plan_of("users"), data="synthetic", most_users=40, asked=400)
    run(Job(plan, None, tmp_path / "results", tmp_path / "nets", ("oracle", "popularity")), silent)
    (one,) = load_results(tmp_path / "results").values()
    assert one.cells["oracle"].ndcg().mean() > one.cells["popularity"].ndcg().mean()
    assert {RETURNING, FRESH} <= set(one.segments)
    with pytest.raises(DataError, match="true probabilities"):
        run_row("oracle", Workbench(plan, open_world(plan_of("users"), tmp_path), 0, tmp_path))
    with pytest.raises(DataError, match="--folder"):
        open_world(plan_of("users"), None)


def test_users_that_are_asked_are_unseen_in_training(tmp_path: Path) -> None:
    world = open_world(plan_of("users"), tmp_path)
    users = world.log.users
    assert not set(users[world.base.train]) & set(users[world.base.test])
    assert not set(users[world.base.validation]) & set(users[world.base.test])


@pytest.mark.parametrize("setting", ["users", "stale"])
def test_edits_are_chosen_by_queries_that_no_base_was_chosen_by(setting: Setting, tmp_path: Path) -> None:
    world = open_world(plan_of(setting), tmp_path)
    kept = set(world.choosing)
    assert kept
    assert not kept & {*world.base.validation, *world.base.train, *world.base.test, *world.recent}


def test_every_editor_has_the_best_rate_of_the_grid(tmp_path: Path) -> None:
    plan = replace(plan_of("users"), rates=(1e-9, 2e-2), epochs=2)
    bench = Workbench(plan, open_world(plan, tmp_path), 0, tmp_path)
    found = {}
    for rate in plan.rates:
        head = bench.head()
        with seeded(0):
            editor = ours(bench, head)
        found[rate] = bench.taught(head, editor, rate)
    head, editor = bench.fitted(partial(ours, bench))
    ranks = answers(head, editor, bench.features, bench.world.choosing).ranks
    assert gains(ranks, 10).mean() == pytest.approx(max(found.values()))
    assert found[1e-9] != found[2e-2]


def test_an_unknown_row_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="closed-form"):
        job_of("users", tmp_path, ("base", "magic"))


def test_nothing_stored_is_nothing_measured(tmp_path: Path) -> None:
    assert {verdict.outcome for verdict in recommendation_verdicts(tmp_path)} == {"not measured"}
    with pytest.raises(DataError, match="no results"):
        write_page(tmp_path, tmp_path / "page.md", tmp_path / "absent.md")


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = seed_path(tmp_path / "ml-100k" / "users", 0)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(DataError, match="damaged"):
        load_results(tmp_path)


@pytest.mark.parametrize("part", ["ranks", "losses"])
def test_a_row_of_other_queries_is_told(stored: Path, tmp_path: Path, part: str) -> None:
    content = read_rows(seed_path(job_of("users", stored).folder, 0))
    content["rows"]["ours"][part] = pack_ranks(np.ones(7))
    path = seed_path(tmp_path / "a" / "users", 0)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"figures of 7(, 60)? queries, not 60"):
        load_results(tmp_path)


def test_queries_that_are_none_are_told(stored: Path, tmp_path: Path) -> None:
    content = read_rows(seed_path(job_of("users", stored).folder, 0))
    none = dict.fromkeys(content["queries"], pack_whole(np.zeros(0)))
    path = seed_path(tmp_path / "a" / "users", 0)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**content, "rows": {}, "queries": none}))
    with pytest.raises(DataError, match="damaged"):
        load_results(tmp_path)


def test_rows_without_a_seed_in_common_are_said_to_be_not_comparable(stored: Path) -> None:
    one = load_results(stored / "results")[f"{DATA.replace(':', '-')}/stale"]
    ours = replace(one.cells["ours"], seeds=(9,))
    one = replace(one, cells={**one.cells, "ours": ours})
    table = levels_table(one)
    assert table.count("not comparable") == 2 * (1 + len(one.segments))
    assert "not comparable" in segment_table(one, ("ours",))
    assert losing_table(one) == ""


@pytest.mark.parametrize("setting", ["users", "stale", "leave-one-out"])
def test_every_row_of_a_quick_run_from_the_command_line(setting: Setting, tmp_path: Path) -> None:
    arguments = ["bench", "recommendation", "--data", DATA, "--folder", str(tmp_path), "--setting", setting, "--quick"]
    places = ["--results", str(tmp_path / "results"), "--nets", str(tmp_path / "nets")]
    done = CliRunner().invoke(app, [*arguments, *places])
    assert done.exit_code == 0, done.output
    (one,) = load_results(tmp_path / "results").values()
    assert set(ROWS[setting]) <= set(one.cells)
