"""Ablations change one thing at a time, and what they change can be built."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import chain

import pytest

from persona.bench.vision.ablate import learner_of
from persona.bench.vision.choices import DEFAULT, GROUPS, Choice
from persona.bench.vision.job import Job, recipe_for
from persona.training.checkpoint import load_run
from persona.training.loop import AdapterConfig, Schedule
from persona.training.recipe import Recipe
from persona.training.step import LossWeights
from tests.tiny_task import TinyTask

RECIPE = recipe_for(TinyTask())
CONFIG = AdapterConfig(Schedule(steps=7), renorm=True, weights=LossWeights(unedited=0.3, partial_share=0.2))
CHOICES = [
    pytest.param(group, name, id=f"{group}/{name}".replace(" ", "-"))
    for group, choices in GROUPS.items()
    for name, choice in choices.items()
    if not choice.is_default
]


def changed(one: object, other: object) -> set[str]:
    return {f.name for f in fields(one) if getattr(one, f.name) != getattr(other, f.name)}  # type: ignore[arg-type]


def test_each_group_begins_with_what_our_row_does() -> None:
    for choices in GROUPS.values():
        first, *others = choices.values()
        assert first.is_default
        assert first.apply(RECIPE, CONFIG) == (RECIPE, CONFIG)
        assert others
        assert not any(choice.is_default for choice in others)


@pytest.mark.parametrize(("group", "name"), CHOICES)
def test_a_choice_changes_one_thing_and_can_be_built(group: str, name: str) -> None:
    recipe, config = GROUPS[group][name].apply(RECIPE, CONFIG)
    of_weights = changed(config.weights, CONFIG.weights)
    things = [*changed(recipe, RECIPE), *(changed(config, CONFIG) - {"weights"}), *of_weights]
    kernel = {"decoder", "rank"} if group == "decoder" and recipe.rank != RECIPE.rank else set(things)
    assert len(things) == 1 or set(things) == kernel, "a rank means nothing without its decoder"
    assert config.schedule == CONFIG.schedule
    recipe.try_out(TinyTask().input_shape)


def test_defaults_are_those_of_the_main_rows() -> None:
    """What a group's first name says is what the recipe holds."""
    said = {group: next(iter(choices)) for group, choices in GROUPS.items()}
    assert (said["transfer"], said["context"], said["decoder"]) == (RECIPE.transfer, RECIPE.encoder, RECIPE.decoder)
    assert said["code"] == str(RECIPE.code)
    assert said["base"] == AdapterConfig().base
    assert said["prototypes in training"] == str(LossWeights().prototype_share)
    assert RECIPE.grid > 0


def test_choices_are_named_after_their_values() -> None:
    assert GROUPS["transfer"]["stacked"].apply(RECIPE, CONFIG)[0] == replace(RECIPE, transfer="stacked")
    assert GROUPS["code"]["32"].apply(RECIPE, CONFIG)[0].code == 32
    assert GROUPS["base"]["frozen"].apply(RECIPE, CONFIG)[1] == replace(CONFIG, base="frozen")
    names = list(chain.from_iterable((f"{group}/{name}" for name in choices) for group, choices in GROUPS.items()))
    assert DEFAULT not in names


def test_nothing_said_is_nothing_changed() -> None:
    assert Choice().apply(Recipe(), AdapterConfig()) == (Recipe(), AdapterConfig())


def test_an_ablation_is_trained_for_its_own_steps_and_kept(job: Job) -> None:
    learner = learner_of(job, "own statistics/off")
    assert learner.renorm is None
    kept = job.nets / job.plan.name / "seed-0" / "ablations" / "own-statistics" / "off"
    assert load_run(kept).recipe == job.recipe
    before = (kept / "run.json").stat().st_mtime_ns
    again = learner_of(job, "own statistics/off")
    assert (kept / "run.json").stat().st_mtime_ns == before
    assert again.renorm is None
