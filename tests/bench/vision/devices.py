"""Our row's kit over the world of `tests.worlds`, made by hand: its edits, prototypes and jump test are known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from persona.adapters import PersonaAdapter, SketchEncoder
from persona.bench.vision.ours import Kit
from persona.edit import Array
from persona.export.build import sketch_spec
from persona.gate import SketchGate
from persona.jump import JumpSpec
from persona.model import EditableModel
from persona.prior import FEATURES, PriorNet
from persona.tasks.vision import Domain, Window
from persona.training.centres import Centres
from persona.training.step import Learner
from tests.worlds import World

WORLD = World()
SIZE = 32
HIDDEN = 3


class Head(nn.Module):
    """The world's linear model: (N, 4) → (N, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)
        with torch.no_grad():
            for name, value in WORLD.base.items():
                self.get_parameter(name).copy_(torch.from_numpy(value))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x)
        return logits


class Perfect(PersonaAdapter):
    """Reads domain and threshold off a sketch's means, and decodes as the world does; no domain is domain 0."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.encoder = SketchEncoder(2, 2)

    def codes(self, context: Tensor, mask: Tensor | None = None) -> Tensor:  # type: ignore[override]
        return torch.stack([context[:, 3].sign(), context[:, 2]], dim=1).unsqueeze(1)

    def decoder(self, codes: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        edits = [WORLD.decoder.decode(code).deltas for code in codes.detach().numpy()]
        return {name: torch.from_numpy(np.stack([edit[name] for edit in edits])) for name in edits[0]}


def learner() -> Learner:
    """Return the world's model with the perfect adapter; its sketch is not standardised."""
    model = EditableModel(Head(), ["head"], torch.zeros(2, 4)).eval()
    width = model.n_features
    return Learner(model, Perfect(), torch.zeros(width), torch.ones(width), Centres(1))


def gate(weight: float) -> SketchGate:
    """Return a gate that gives every sketch of this world the same weight, 0 or 1."""
    width = learner().model.n_features
    direction = np.eye(1, width, dtype=np.float32)
    far = np.array([1e6, 1e6, 1, 2] if weight else [1e-6, 1e-6, 1, 2], np.float32)
    return SketchGate(np.full(width, 50, np.float32), direction, np.ones(1, np.float32), far)


def prior(towards: float) -> PriorNet:
    """Return a prior net whose bias of a class is `towards` times the log of its share, but for a constant."""
    arrays = {
        "w1": np.zeros((FEATURES, HIDDEN)), "b1": np.zeros(HIDDEN), "w2": np.eye(HIDDEN), "b2": np.zeros(HIDDEN),
        "w3": np.zeros((HIDDEN, 1)), "b3": np.zeros(1),
    }  # fmt: skip
    arrays["w1"][0, :2] = (1, -1)  # the log of the estimated share, above and below even
    arrays["w3"][:2, 0] = (towards, -towards)
    return PriorNet({name: value.astype(np.float32) for name, value in arrays.items()})


def kit(weight: float = 1.0, towards: float = 0.0) -> Kit:
    """Return the kit of a device."""
    made = learner()
    jump = JumpSpec(np.full(8, 0.25, np.float32), 3.0, SIZE)
    return Kit(made, sketch_spec(made), jump, WORLD.bank, prior(towards), gate(weight))


def window(domain: int, threshold: float = 0.0, seed: int = 0) -> tuple[Array, Array]:
    """Return samples (32, 4) and labels (32,) of a domain."""
    return WORLD.sample(domain, SIZE, np.random.default_rng(seed), threshold)


def windows(parts: Iterable[tuple[int, float]]) -> Iterator[Window]:
    """Yield a window for each pair of domain and threshold."""
    for seed, (domain, threshold) in enumerate(parts):
        x, y = window(domain, threshold, seed)
        yield Window(x, y, Domain(), 0, seed == 0)
