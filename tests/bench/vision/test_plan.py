"""Plans: seeds that choices are made on are kept apart from those that are reported, and nothing is empty."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from persona.bench.vision.plan import SMALL, TEST_SEEDS, TRAIN_SEEDS, VALIDATION_SEEDS, Plan
from persona.errors import DataError


def test_seeds_of_different_use_share_nothing() -> None:
    for one, other in combinations((TEST_SEEDS, VALIDATION_SEEDS, TRAIN_SEEDS), 2):
        assert not set(one) & set(other)


@pytest.mark.parametrize("seed", VALIDATION_SEEDS)
def test_streams_that_choices_are_made_on_are_not_reported(seed: int) -> None:
    with pytest.raises(DataError, match=r"kept for choices; take others"):
        Plan(stream_seeds=(11, seed))


@pytest.mark.parametrize(
    "changes",
    [
        *({name: 0} for name in ("devices", "windows", "window_size")),
        *({name: 0} for name in ("base_steps", "warm_steps", "steps", "peer_steps", "teacher_steps")),
        {"ablation_steps": -1},
        {"kit_windows": 0},
        {"train_seeds": ()},
        {"stream_seeds": ()},
    ],
)
def test_a_plan_of_nothing_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="has nothing to do; wanted at least one of each"):
        Plan(**changes)


def test_windows_larger_than_a_digit_are_refused() -> None:
    assert Plan(window_size=35).window_size == 35
    with pytest.raises(DataError, match="windows of 36 samples; results keep counts up to 35"):
        Plan(window_size=36)


def test_a_plan_in_json_reads_back_as_it_was() -> None:
    plain = Plan("pacs-photo", train_seeds=(4, 5)).to_json()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["train_seeds"] == [4, 5]


def test_results_lie_under_data_and_net() -> None:
    assert Plan().name == "fashion-mnist/cnn-bn"
    assert Plan("my.module:Task", "resnet-8").name == "my.module-Task/resnet-8"


def test_smaller_plans_change_sizes_alone() -> None:
    plan = Plan("cifar10", "resnet-8", train_seeds=(3, 4), stream_seeds=(21, 22))
    small, quick = plan.small(), plan.quick()
    steps = ("base_steps", "warm_steps", "steps", "peer_steps", "teacher_steps", "ablation_steps")
    shorter = {name: getattr(plan, name) // SMALL for name in steps}
    assert small == replace(plan, train_seeds=(3,), stream_seeds=(21,), devices=17, **shorter)
    assert replace(plan, steps=1).small().steps == 1
    assert (quick.data, quick.backbone, quick.window_size) == (plan.data, plan.backbone, plan.window_size)
    taken = (quick.base_steps, quick.warm_steps, quick.steps, quick.peer_steps, quick.ablation_steps)
    assert max(taken) <= 60
    assert quick.teacher_steps <= 80
    assert quick.devices * quick.windows < plan.devices * plan.windows
