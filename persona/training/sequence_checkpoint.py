"""A sequence training under way, in one file: weights, the best weights so far, the optimizer's memory, the figures."""

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
from persona.files import write_whole

SNAPSHOT_FILE = "training.safetensors"
FACTS = "facts"  # a tensor of the bytes of some JSON, so that the figures cannot belong to other weights


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What is kept beside weights and optimizer: the best weights, losses and validations of each epoch, steps done."""

    best: Mapping[str, Tensor]
    losses: list[float]
    validation: list[float]
    steps: int


def write_snapshot(
    folder: Path, net: nn.Module, optimizer: torch.optim.Optimizer, snapshot: Snapshot, settings: Mapping[str, Any]
) -> None:
    """Write a training under way; ExportError where the folder cannot be written."""
    facts = {
        "settings": dict(settings),
        "losses": snapshot.losses,
        "validation": snapshot.validation,
        "steps": snapshot.steps,
    }
    memory = optimizer.state_dict()["state"]
    tensors = {
        **{f"net/{name}": value for name, value in net.state_dict().items()},
        **{f"best/{name}": value for name, value in snapshot.best.items()},
        **{f"memory/{number}/{name}": value for number, state in memory.items() for name, value in state.items()},
        FACTS: torch.frombuffer(bytearray(json.dumps(facts).encode()), dtype=torch.uint8),
    }
    write_whole(folder / SNAPSHOT_FILE, save({name: value.detach().contiguous() for name, value in tensors.items()}))


def read_snapshot(
    folder: Path, net: nn.Module, optimizer: torch.optim.Optimizer, settings: Mapping[str, Any]
) -> Snapshot | None:
    """Put net and optimizer where a training was cut off, and return the rest; None where the folder holds none.

    TrainingError where the file is damaged, or is of a training with another net or other settings.
    """
    path = folder / SNAPSHOT_FILE
    if not path.exists():
        return None
    try:
        tensors = load(path.read_bytes())
        facts = json.loads(bytes(tensors.pop(FACTS).numpy()))
        if facts["settings"] != dict(settings):
            raise TrainingError(
                f"{path} is of a training with {facts['settings']}, not {dict(settings)}; give another folder, or "
                "delete the file to start anew"
            )
        net.load_state_dict(_within("net/", tensors))
        memory: dict[int, dict[str, Tensor]] = {}
        for name, value in _within("memory/", tensors).items():
            number, _, what = name.partition("/")
            memory.setdefault(int(number), {})[what] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": memory})
        return Snapshot(_within("best/", tensors), facts["losses"], facts["validation"], facts["steps"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise TrainingError(
            f"the training in {path} is damaged, or of another net ({error}); delete the file to start anew"
        ) from error


def _within(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
