"""What a run is built from, and a run on disk: whole, or a clear error."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from persona.errors import SpecError, TrainingError
from persona.model.renorm import Renorm
from persona.training.centres import Centres
from persona.training.checkpoint import Run, load_run, save_run
from persona.training.evaluate import edits_of
from persona.training.recipe import Recipe
from persona.training.step import Learner

SHAPE = (1, 28, 28)


@pytest.fixture
def run() -> Run:
    """Return a run whose weights are all of their own."""
    torch.manual_seed(3)
    recipe = Recipe(transfer="autoregressive")
    base = recipe.build_base()
    model = recipe.build_model(base, SHAPE)
    with torch.no_grad():  # so that the bounds of the spec are no longer those of the weights
        for parameter in model.parameters():
            parameter.mul_(2.0)
    center, scale = torch.randn(model.n_features), torch.rand(model.n_features) + 0.5
    learner = Learner(model, recipe.build_adapter(model), center, scale, Centres(4))
    return Run(recipe, learner, recipe.build_base(), {"seeds": {"train": 3}})


def test_a_run_read_again_gives_the_same_edits_and_outputs(run: Run, tmp_path: Path) -> None:
    save_run(tmp_path, run)
    again = load_run(tmp_path)
    assert again.recipe == run.recipe
    assert again.facts["seeds"] == {"train": 3}
    assert again.learner.model.spec == run.learner.model.spec, "bounds are those of the start, not of the end"
    x = torch.rand(2, 8, *SHAPE)
    for module in (run.learner.model, run.static):
        module.eval()
    with torch.no_grad():
        assert torch.equal(run.learner.see(x).codes, again.learner.see(x).codes)
        assert torch.equal(run.static(x[0]), again.static(x[0]))


def test_no_run_is_an_error_that_says_what_writes_one(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="persona train"):
        load_run(tmp_path)


@pytest.mark.parametrize("facts", ["[]", "null", "not json", '{"recipe": null}', '{"recipe": {}, "spec": []}'])
def test_damaged_facts_are_a_clear_error(run: Run, tmp_path: Path, facts: str) -> None:
    save_run(tmp_path, run)
    (tmp_path / "run.json").write_text(facts)
    with pytest.raises(TrainingError):
        load_run(tmp_path)


def test_weights_that_lack_a_tensor_or_an_end_are_a_clear_error(run: Run, tmp_path: Path) -> None:
    from safetensors.torch import load, save

    save_run(tmp_path, run)
    path = tmp_path / "weights.safetensors"
    whole = path.read_bytes()
    tensors = load(whole)
    for broken in (whole[:-10], save({k: v for k, v in tensors.items() if k != "center"}), b""):
        path.write_bytes(broken)
        with pytest.raises(TrainingError, match="damaged"):
            load_run(tmp_path)


def test_a_changed_backbone_is_noticed(run: Run, tmp_path: Path) -> None:
    save_run(tmp_path, run)
    facts = json.loads((tmp_path / "run.json").read_text())
    facts["spec"][0]["tensors"][0]["shape"] = [25]
    (tmp_path / "run.json").write_text(json.dumps(facts))
    with pytest.raises(TrainingError, match="other editable tensors"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("changes", "shape", "said"),
    [
        ({"editable": ("nothing*",)}, SHAPE, "nothing"),
        ({"encoder": "images", "backbone": "tests.nets:PlainNet", "editable": ("*",)}, (6,), "use encoder 'sketch'"),
        ({}, (3, 28, 28), "does not run on float32 samples of shape"),
        ({"encoder": "sounds"}, SHAPE, "sketch, images or both"),
    ],
)
def test_what_cannot_be_built_is_told_before_training(
    changes: dict[str, object], shape: tuple[int, ...], said: str
) -> None:
    with pytest.raises((SpecError, TrainingError), match=said):
        dataclasses.replace(Recipe(), **changes).try_out(shape)  # type: ignore[arg-type]


def test_a_recipe_of_another_release_is_refused() -> None:
    with pytest.raises(TrainingError, match="fields"):
        Recipe.from_json({**Recipe().to_json(), "colour": "blue"})


@pytest.mark.parametrize("blind", [False, True])
@pytest.mark.parametrize("local", [False, True])
def test_blindness_and_the_local_part_come_back(run: Run, tmp_path: Path, blind: bool, local: bool) -> None:
    renorm = Renorm(run.learner.model) if local else None
    if renorm is not None:
        torch.nn.init.normal_(renorm.logits)
    learner = dataclasses.replace(run.learner, blind=blind, renorm=renorm)
    learner.model.eval()
    save_run(tmp_path, dataclasses.replace(run, learner=learner))
    again = load_run(tmp_path).learner
    assert again.blind is blind
    assert (again.renorm is None) is not local
    with torch.no_grad():
        windows = torch.rand(2, 4, *SHAPE)
        edits, found = edits_of(learner, windows), edits_of(again, windows)
    assert all(torch.equal(found[name], edit) for name, edit in edits.items())


def test_a_run_of_an_earlier_release_is_not_blind(run: Run, tmp_path: Path) -> None:
    save_run(tmp_path, run)
    facts = json.loads((tmp_path / "run.json").read_text())
    del facts["blind"]
    for name in ("classes", "channels", "grid", "rho", "noise"):
        del facts["recipe"][name]
    (tmp_path / "run.json").write_text(json.dumps(facts))
    again = load_run(tmp_path)
    assert not again.learner.blind
    assert again.recipe == run.recipe


def test_recipes_come_back_whole_and_old_ones_with_todays_defaults() -> None:
    recipe = Recipe("cnn-gn", ("head",), "both", 8, "none", "basis", 2, 0.5, 7, 0.25, 5, 3)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    assert Recipe.from_json({"backbone": "cnn-gn", "editable": ["head"]}) == Recipe("cnn-gn", ("head",))
    for incomplete in ({"backbone": "cnn-bn"}, {"editable": ["head"]}, {}):
        with pytest.raises(TrainingError, match="fields"):
            Recipe.from_json(incomplete)


def test_what_a_recipe_says_is_what_is_built() -> None:
    recipe = Recipe(rho=0.5, grid=7, noise=0.25, classes=5, channels=3)
    base = recipe.build_base()
    model = recipe.build_model(base, (3, 28, 28))
    assert base(torch.zeros(2, 3, 28, 28)).shape == (2, 5)
    assert model.tap_specs[0].channels == 3 * 7 * 7
    assert recipe.build_adapter(model).encoder.noise == 0.25
    plain = dataclasses.replace(recipe, rho=1.0).build_model(base, (3, 28, 28))
    for half, whole in zip(model.spec.tensors, plain.spec.tensors, strict=True):
        assert half.bound == pytest.approx(whole.bound / 2)


@pytest.mark.parametrize("encoder", ["sketch", "images", "both"])
def test_every_encoder_can_be_built_tried_and_read_again(tmp_path: Path, encoder: str) -> None:
    recipe = Recipe(encoder=encoder, classes=4, grid=7)  # type: ignore[arg-type]
    recipe.try_out(SHAPE)
    base = recipe.build_base()
    model = recipe.build_model(base, SHAPE).eval()
    width = model.n_features
    learner = Learner(model, recipe.build_adapter(model).eval(), torch.zeros(width), torch.ones(width), Centres(1))
    assert learner.adapter.context == {"images": "samples"}.get(encoder, encoder)
    save_run(tmp_path, Run(recipe, learner, base, {}))
    x = torch.rand(2, 4, *SHAPE)
    with torch.no_grad():
        assert torch.equal(load_run(tmp_path).learner.see(x).codes, learner.see(x).codes)


def test_a_grid_that_does_not_divide_is_told_before_training() -> None:
    with pytest.raises(SpecError, match="does not divide into 5 × 5 cells"):
        Recipe(grid=5).try_out(SHAPE)
