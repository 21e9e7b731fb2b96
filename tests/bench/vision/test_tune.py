"""Tuning: the best of a peer's grid on validation streams, and nothing of what is reported on."""

from __future__ import annotations

import ast
import inspect
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from persona.bench.store import read_rows
from persona.bench.vision import tune
from persona.bench.vision.job import CHOSEN, Job
from persona.bench.vision.plan import VALIDATION_SEEDS
from persona.bench.vision.rows import Trained
from persona.bench.vision.tune import DEVICES, LABELS, TUNED, combinations, keep_tried, try_row, validation_streams
from persona.errors import SpecError
from persona.tasks.vision import ImageSet, make_streams
from persona.tasks.vision.streams import StreamShape
from tests.tiny_task import CLASSES, TinyTask

GUESS = "tests.bench.vision.methods:Guess"


@dataclass(frozen=True, eq=False)
class Sealed:
    """The tiny task's pictures, of which those that are reported on may not be touched."""

    train: ImageSet
    validation: ImageSet

    @property
    def test(self) -> ImageSet:
        raise AssertionError("choices are made without the test pictures")


class SealedTask(TinyTask):
    """The tiny task with its test pictures sealed."""

    def __init__(self, data: Path | None = None) -> None:
        super().__init__(data)
        self.images = Sealed(self.images.train, self.images.validation)  # type: ignore[assignment]


@pytest.fixture
def sealed(job: Job, trained: Trained, tmp_path: Path) -> Job:
    """Return a job whose test pictures are sealed, with the nets of the other one."""
    plan = replace(job.plan, data=f"{__name__}:SealedTask")
    shutil.copytree(job.nets / job.plan.name, tmp_path / "nets" / plan.name)
    return replace(job, plan=plan, rows=None, results=tmp_path / "results", nets=tmp_path / "nets")


def test_the_best_of_a_grid_is_kept_with_all_that_was_tried(sealed: Job) -> None:
    """A method that always says the same is right as often as that label occurs; the first of equals is the default."""
    keep_tried(sealed, try_row(sealed, GUESS))
    found = json.loads((sealed.folder / CHOSEN).read_text())
    labels = np.concatenate([window.y for stream in validation_streams(sealed) for window in stream])
    shares = 100 * np.bincount(labels, minlength=CLASSES) / len(labels)
    tried = found["rows"][GUESS]["tried"]
    assert [one["setting"]["label"] for one in tried] == [0, 0, 1, 1, 2, 2, 3, 3]
    np.testing.assert_allclose([one["accuracy"] for one in tried], np.repeat(shares, 2))
    assert found["rows"][GUESS]["chosen"] == {"label": int(shares.argmax()), "spare": "first"}
    assert found["stream_seeds"] == list(VALIDATION_SEEDS)
    assert sealed.trained(0).chosen == {GUESS: {"label": int(shares.argmax()), "spare": "first"}}


@pytest.mark.parametrize("row", ["alpha-bn", "cema"])
def test_peers_are_tuned_without_test_pictures(sealed: Job, row: str) -> None:
    """The pictures raise as soon as anything touches them."""
    with pytest.raises(AssertionError, match="without the test pictures"):
        sealed.task().images.test  # noqa: B018  # the seal holds
    keep_tried(sealed, try_row(sealed, row))
    kept = read_rows(sealed.folder / CHOSEN)["rows"]
    assert set(kept) == {row}
    accuracies = [one["accuracy"] for one in kept[row]["tried"]]
    assert len(accuracies) > 1
    assert kept[row]["chosen"] == kept[row]["tried"][int(np.argmax(accuracies))]["setting"]


def test_choices_are_made_on_streams_of_their_own(sealed: Job) -> None:
    """The same ones by hand; other seeds to report on, or more devices, make no difference."""
    images, shape = sealed.task().images.validation, sealed.plan
    wanted = [
        list(stream)
        for seed in VALIDATION_SEEDS
        for labels in LABELS
        for stream in make_streams(images, "seen", DEVICES, seed, StreamShape(shape.windows, shape.window_size, labels))
    ]
    other = replace(sealed, plan=replace(sealed.plan, stream_seeds=(12, 13), devices=7))
    for job in (sealed, other):
        found = validation_streams(job)
        assert len(found) == len(wanted) == 4 * DEVICES
        for one, stream in zip(wanted, found, strict=True):
            for a, b in zip(one, stream, strict=True):
                assert np.array_equal(a.x, b.x)
                assert np.array_equal(a.y, b.y)


def test_the_code_of_tuning_names_no_test_seed_and_no_test_picture() -> None:
    tree = ast.parse(inspect.getsource(tune))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.name for node in ast.walk(tree) if isinstance(node, ast.alias)}
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert "TEST_SEEDS" not in names
    assert not attributes & {"test", "stream_seeds", "TEST_SEEDS", "units"}
    assert {"VALIDATION_SEEDS"} <= names
    assert "validation" in attributes


def test_rows_are_added_to_those_that_are_tuned(sealed: Job) -> None:
    for row in (GUESS, "static"):
        keep_tried(sealed, try_row(sealed, row))
    rows = read_rows(sealed.folder / CHOSEN)["rows"]
    assert set(rows) == {GUESS, "static"}
    assert rows["static"]["chosen"] == {}, "nothing to choose"
    assert len(rows["static"]["tried"]) == 1


def test_a_peer_that_does_not_suit_the_net_says_so(sealed: Job) -> None:
    with pytest.raises(SpecError, match="wants a net of its own"):
        keep_tried(sealed, try_row(sealed, "tests.bench.vision.methods:Choosy"))
    assert not (sealed.folder / CHOSEN).exists()


def test_combinations_begin_with_the_published_defaults() -> None:
    assert combinations({"a": (1, 2), "b": ("x", "y")}) == [
        {"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"},
    ]  # fmt: skip
    assert combinations({}) == [{}]


def test_every_peer_of_the_catalogue_is_tuned() -> None:
    assert {"tent", "roid", "finetune", "cema", "static"} <= set(TUNED)
    assert len(set(TUNED)) == len(TUNED)
