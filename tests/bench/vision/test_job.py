"""Jobs: what is missing of them, told apart before anything is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from persona.bench.store import write_rows
from persona.bench.vision.command import Wanted
from persona.bench.vision.job import Job, recipe_for
from persona.bench.vision.plan import Plan
from persona.bench.vision.roles import MAIN
from persona.bench.vision.rows import rows_of
from persona.bench.vision.store import Unit
from persona.errors import CatalogError, DataError
from persona.training.suite import NETS, SuiteBudget
from tests.tiny_task import CLASSES, TinyTask

PLAN = Plan("tests.tiny_task:TinyTask", train_seeds=(0, 1), stream_seeds=(11, 12))


def job_in(folder: Path, rows: tuple[str, ...] | None = None, settings: tuple[str, ...] = ("iid-seen", "clean")) -> Job:
    return Job(PLAN, settings, rows, folder / "results", folder / "nets")


@pytest.mark.parametrize(
    ("settings", "rows", "said"),
    [
        (("iid-sen",), None, "there is no setting 'iid-sen'; there are iid-seen"),
        (("clean",), ("static", "tnt"), "there is no row 'tnt'; there are"),
    ],
)
def test_what_is_unknown_is_told_before_anything_is_trained(
    tmp_path: Path, settings: tuple[str, ...], rows: tuple[str, ...] | None, said: str
) -> None:
    with pytest.raises(CatalogError, match=said):
        job_in(tmp_path, rows, settings)
    assert not list(tmp_path.iterdir())


def test_units_go_stream_seed_by_stream_seed(tmp_path: Path) -> None:
    units = job_in(tmp_path).units()
    assert len(units) == 8
    assert [unit.stream for unit in units] == [11] * 4 + [12] * 4
    assert [unit.train for unit in units] == [0, 0, 1, 1] * 2
    assert units[0] == Unit(0, 11, "iid-seen")


def test_slow_rows_are_missing_of_the_first_seeds_alone(tmp_path: Path) -> None:
    job = job_in(tmp_path)
    fast, slow = rows_of("iid-seen")
    assert job.missing(Unit(0, 11, "iid-seen")) == [*fast, *slow]
    for train, stream in ((1, 11), (0, 12), (1, 12)):
        assert job.missing(Unit(train, stream, "iid-seen")) == list(fast)
    assert set(slow) <= set(job.every_row())


def test_rows_that_are_stored_are_not_missing(tmp_path: Path) -> None:
    job, unit = job_in(tmp_path, ("static", "persona")), Unit(1, 12, "clean")
    assert job.missing(unit) == ["static", "persona"]
    write_rows(unit.path(job.folder), {"plan": PLAN.to_json()}, {"static": {"same": "1"}})
    assert job.missing(unit) == ["persona"]
    assert job.missing(replace(unit, train=0)) == ["static", "persona"]
    assert job.every_row() == ["static", "persona"]


def test_nets_are_those_that_the_rows_need(tmp_path: Path) -> None:
    every = replace(job_in(tmp_path), settings=("iid-seen",))
    assert (every.wanted_nets(), every.taught) == (list(NETS), True)
    few = job_in(tmp_path, ("alpha-bn", "duet"))
    assert (few.wanted_nets(), few.taught) == (["learner", "static", "duet"], False)
    assert "wider" in job_in(tmp_path, ("wider-head",)).wanted_nets()


def test_the_plans_steps_are_the_shops(tmp_path: Path) -> None:
    plan = replace(PLAN, base_steps=1, warm_steps=2, steps=3, peer_steps=4)
    shop = replace(job_in(tmp_path), plan=plan).shop(7)
    assert shop.budget == SuiteBudget(base_steps=1, warm_steps=2, steps=3, peer_steps=4, seed=7)
    assert shop.folder == tmp_path / "nets" / plan.name / "seed-7"


def test_a_recipe_suits_its_task() -> None:
    task = TinyTask()
    recipe = recipe_for(task)
    assert (recipe.classes, recipe.channels, recipe.grid) == (CLASSES, 1, 8)
    assert set(recipe.editable) == {"stem", "conv*", "norm*", "head"}
    recipe.try_out(task.input_shape)
    task.backbone = "resnet-8"
    assert set(recipe_for(task).editable) == {"norm*", "head"}


def test_a_wish_becomes_a_job(tmp_path: Path) -> None:
    wanted = Wanted("fashion-mnist", quick=True, rows=["static"])
    job = wanted.job(tmp_path / "r", tmp_path / "n")
    assert (job.settings, job.rows) == (("iid-seen", "skew-seen"), ("static",))
    assert job.plan == Plan("fashion-mnist", "cnn-bn").quick()
    assert job.folder == tmp_path / "r" / "fashion-mnist" / "cnn-bn"
    assert job.recipe.grid == 7
    named = replace(wanted, settings=["clean"], quick=False, small=True, rows=None, backbone="cnn-gn")
    other = named.job(tmp_path, tmp_path)
    assert (other.settings, other.rows) == (("clean",), None)
    assert other.plan == Plan("fashion-mnist", "cnn-gn").small()
    whole = Wanted("fashion-mnist").job(tmp_path, tmp_path)
    assert set(whole.settings) > set(MAIN)
    assert whole.plan == Plan()


@pytest.mark.parametrize(
    ("wanted", "kind"),
    [
        (Wanted("fasion"), CatalogError),
        (Wanted("mnist"), DataError),
        (Wanted("fashion-mnist", backbone="cnn"), CatalogError),
        (Wanted("fashion-mnist", rows=["persna"]), CatalogError),
    ],
)
def test_a_wish_that_cannot_be_met_is_told(tmp_path: Path, wanted: Wanted, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        wanted.job(tmp_path, tmp_path)
    assert not list(tmp_path.iterdir())
