"""Methods whose answers are known, as somebody outside the package would write them."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from persona.baselines.base import Grid
from persona.errors import DataError, SpecError
from tests.tiny_task import CLASSES


class Guess:
    """Says `label` whatever it sees."""

    GRID: ClassVar[Grid] = {"label": tuple(range(CLASSES)), "spare": ("first", "second")}

    def __init__(self, model: nn.Module, seed: int, *, label: int = 0, spare: str = "first") -> None:
        self.label, self.seed = label, seed

    def step(self, x: Tensor) -> Tensor:
        return self.answer(x)

    def answer(self, x: Tensor) -> Tensor:
        return nn.functional.one_hot(torch.full((len(x),), self.label), CLASSES).float()


class Choosy(Guess):
    """Suits no net."""

    def __init__(self, model: nn.Module, seed: int, **settings: object) -> None:
        raise SpecError("this method wants a net of its own")


class Reader:
    """Reads labels off pixels, where they are, once it has stepped `slow` times; refuses windows that are dark.

    Pixels (N, 1, 1, 1) hold the label. It notes the verbs that it hears.
    """

    def __init__(self, slow: int = 0) -> None:
        self.slow, self.steps = slow, 0
        self.heard: list[str] = []

    def step(self, x: Tensor) -> Tensor:
        self.heard.append("step")
        self._check(x)
        self.steps += 1
        return self._read(x)

    def answer(self, x: Tensor) -> Tensor:
        self.heard.append("answer")
        self._check(x)
        return self._read(x)

    def _read(self, x: Tensor) -> Tensor:
        labels = x.flatten(1)[:, 0].long()
        wrong = int(self.steps < self.slow)
        return nn.functional.one_hot((labels + wrong) % CLASSES, CLASSES).float().requires_grad_()

    def _check(self, x: Tensor) -> None:
        if bool((x < 0).any()):
            raise DataError("a window is dark; give it light")


class Told(Reader):
    """Is told labels, and notes it."""

    def reveal(self, x: Tensor, y: Tensor) -> None:
        assert torch.equal(x.flatten(1)[:, 0].long(), y)
        self.heard.append("reveal")
