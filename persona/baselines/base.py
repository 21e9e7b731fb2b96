"""What every row of a stream table is: one device's predictor, window by window, without labels.

The timings of a benchmark are made of its two verbs. *Same window*: `step` answers. *Causal*: `answer`, then `step`.
*Constant speed*: a method r times as slow as the plain model steps on every r-th window and answers for the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from torch import Tensor

# Per setting the values that tuning tries on validation streams; the first of each is the published default.
Grid = Mapping[str, tuple[Any, ...]]


class Method(Protocol):
    """Predicts one device's stream. Logits are (N, C); log-probabilities will do."""

    def step(self, x: Tensor) -> Tensor:
        """See one window (N, …), adapt on it where the method does, and answer for it (N, C)."""
        ...

    def answer(self, x: Tensor) -> Tensor:
        """Answer for samples (N, …) with what earlier steps left; learn nothing and change nothing."""
        ...


class Peer(Method, Protocol):
    """A method that is built from one trained plain module, which it leaves as it is, and a seed."""

    GRID: ClassVar[Grid]


class Labelled(Method, Protocol):
    """A method that is told the labels of a window after it answered for it: an oracle."""

    def reveal(self, x: Tensor, y: Tensor) -> None:
        """Learn from samples (N, …) and their labels (N,)."""
        ...
