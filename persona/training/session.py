"""A whole training run by recipe: base, static control and adapter, with the same images and passes for each side."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from torch import nn

from persona.tasks.base import Task
from persona.training.checkpoint import Run
from persona.training.evaluate import sample_many, score
from persona.training.loop import AdapterConfig, History, Progress, Schedule, seeded, train_adapter, train_base
from persona.training.recipe import Recipe

log = logging.getLogger(__name__)

# Given the name of a phase, returns what is to be told of its progress.
Phases = Callable[[str], Progress | None]

VALIDATION_EPISODES = 200


@dataclass(frozen=True)
class Budget:
    """Steps of the base alone and of the adapter, and the seed of everything.

    The static control gets `base_steps` + `adapter_steps` steps in one schedule of its own. A step costs both sides the
    same: a forward and a backward pass over the support and the query of one batch.
    """

    base_steps: int = 500
    adapter_steps: int = 950
    base: Literal["joint", "frozen"] = "joint"
    seed: int = 0


def train_run(task: Task, recipe: Recipe, budget: Budget, phases: Phases) -> Run:
    """Train base, static control and adapter, and score them on validation episodes.

    TrainingError where a loss is no longer finite.
    """
    clock = time.perf_counter
    started = clock()
    batch = sample_many(task.validation(), VALIDATION_EPISODES, np.random.default_rng(budget.seed + 2))
    base, static = _fresh(recipe, budget.seed), _fresh(recipe, budget.seed)
    schedule = Schedule(steps=budget.base_steps, seed=budget.seed)
    train_base(base, task.training(), schedule, phases("base"))
    longer = replace(schedule, steps=budget.base_steps + budget.adapter_steps)
    static_history = train_base(static, task.training(), longer, phases("static control"))

    model = recipe.build_model(base, task.input_shape)
    config = AdapterConfig(Schedule(budget.adapter_steps, 5e-3, seed=budget.seed + 1), budget.base)
    with seeded(config.schedule.seed):
        adapter = recipe.build_adapter(model)
    learner, history = train_adapter(model, adapter, task.training(), config, phases("adapter"))

    if history.collapsed:
        log.warning("the codes have collapsed: one direction carries %.0f %% of them", 100 * history.code_shares[0])
    figures = {name: 100 * value for name, value in score(learner, static, batch).to_json().items()}
    steps = {"base": budget.base_steps, "adapter": budget.adapter_steps, "static": longer.steps}
    facts: dict[str, Any] = {
        "training": {
            "steps": steps,
            "losses": {"static": thinned(static_history), "adapter": thinned(history)},
            "code_shares": history.code_shares,
            "seconds": clock() - started,
        },
        "validation": figures,
        "seeds": {"train": budget.seed},
    }
    return Run(recipe, learner, static, facts)


def thinned(history: History, points: int = 200) -> list[float]:
    """Return the losses as at most `points` means over equal stretches."""
    losses = np.array(history.losses)
    return [float(part.mean()) for part in np.array_split(losses, min(points, len(losses)))]


def _fresh(recipe: Recipe, seed: int) -> nn.Module:
    """Return the recipe's backbone, initialised from a seed."""
    with seeded(seed):
        return recipe.build_base()
