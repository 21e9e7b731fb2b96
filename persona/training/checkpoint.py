"""A trained run on disk: ``run.json`` (recipe, task, figures) beside ``weights.safetensors``; nothing is pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from persona.errors import TrainingError
from persona.files import write_together
from persona.model.renorm import Renorm
from persona.spec import ModelSpec
from persona.training.centres import Centres
from persona.training.recipe import Recipe
from persona.training.step import Learner

FACTS_FILE = "run.json"
WEIGHTS_FILE = "weights.safetensors"


@dataclass(frozen=True)
class Run:
    """A recipe, the learner trained by it, the static control, and free facts (task, seeds, figures)."""

    recipe: Recipe
    learner: Learner
    static: nn.Module
    facts: Mapping[str, Any]


def save_run(folder: Path, run: Run) -> None:
    """Write a run, both files together; ExportError where the folder cannot be written."""
    learner = run.learner
    tensors = {
        **_prefixed("model", learner.model.module.state_dict()),
        **_prefixed("adapter", learner.adapter.state_dict()),
        **_prefixed("static", run.static.state_dict()),
        **({} if learner.renorm is None else _prefixed("renorm", learner.renorm.state_dict())),
        "center": learner.center,
        "scale": learner.scale,
    }
    facts = {
        **run.facts,
        "recipe": run.recipe.to_json(),
        "spec": learner.model.spec.to_json(),
        "input_shape": list(learner.model.input_shape),
        "blind": learner.blind,
    }
    weights = save({name: t.detach().contiguous() for name, t in tensors.items()})
    write_together({folder / WEIGHTS_FILE: weights, folder / FACTS_FILE: json.dumps(facts, indent=1).encode()})


def load_run(folder: Path) -> Run:
    """Read a run that `save_run` wrote; TrainingError where there is none or it is damaged."""
    try:
        facts = json.loads((folder / FACTS_FILE).read_bytes())
        tensors = load((folder / WEIGHTS_FILE).read_bytes())
        recipe, spec = Recipe.from_json(facts["recipe"]), ModelSpec.from_json(facts["spec"])
        model, adapter = recipe.rebuild(spec, facts["input_shape"])
        static = recipe.build_base()
        for name, module in (("model", model.module), ("adapter", adapter), ("static", static)):
            module.load_state_dict(_within(name, tensors))
        center, scale = tensors["center"], tensors["scale"]
        renorm = Renorm(model) if "renorm/logits" in tensors else None
        if renorm is not None:
            renorm.load_state_dict(_within("renorm", tensors))
    except FileNotFoundError as error:
        raise TrainingError(
            f"{folder} holds no run: {error.filename} is missing; `persona train` writes one"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise TrainingError(f"the run in {folder} is damaged ({error}); train it again") from error
    for module in (model, adapter, static):
        module.eval()
    learner = Learner(model, adapter, center, scale, Centres(1), renorm=renorm, blind=bool(facts.get("blind")))
    return Run(recipe, learner, static, facts)


def _prefixed(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": torch.as_tensor(value) for name, value in state.items()}


def _within(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}/"
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
