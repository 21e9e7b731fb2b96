"""Items as sequence backbones read and score them: windows of item numbers, 0 for padding, scores for the catalogue.

A sequence backbone has `items`, an ``nn.Embedding`` (I + 1, d) that is read from and scored against, and

- ``forward(windows (B, L)) -> states (B, L, d)``: the state after each event, which no later event can change;
- ``state(windows) -> (B, d)``: the state after the last event;
- ``scores(states (…, d)) -> (…, I + 1)``: of the whole catalogue, -inf for padding;
- ``score(windows, candidates (B, C)) -> (B, C)``: of some items each;
- ``table() -> (I + 1, d), (I + 1,)``: the vectors and biases that states are scored against.

Windows are filled from the right: the last event stands in the last column, padding before the first. How much padding
there is changes nothing. An empty history has the state 0: its scores are the items' biases, what everybody likes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor, nn

from persona.errors import DataError

PADDING = 0
INITIAL_SCALE = 0.02


@runtime_checkable
class CandidateBackbone(Protocol):
    """A module that scores given items after a window, of which it reads at most `length` events."""

    n_items: int
    length: int
    training: bool

    def score(self, windows: Tensor, candidates: Tensor) -> Tensor:
        """Return scores (B, C) of candidates (B, C) after windows (B, L)."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return what is trained, as every module does."""
        ...

    def train(self, mode: bool = True) -> Any:
        """Turn dropout on or off, as every module does."""
        ...


@runtime_checkable
class SequenceBackbone(CandidateBackbone, Protocol):
    """One that keeps a state which knows no candidate: the whole catalogue is scored by one product."""

    def __call__(self, windows: Tensor) -> Tensor:
        """Return the state (B, L, d) after each event."""
        ...

    def state(self, windows: Tensor) -> Tensor:
        """Return the state (B, d) after the last event."""
        ...

    def scores(self, states: Tensor) -> Tensor:
        """Return scores (…, I + 1) of states (…, d)."""
        ...

    def table(self) -> tuple[Tensor, Tensor]:
        """Return the vectors (I + 1, d) and biases (I + 1,) that states are scored against."""
        ...


def item_table(n_items: int, d: int) -> nn.Embedding:
    """Return fresh vectors (I + 1, d), zeros for padding."""
    table = nn.Embedding(n_items + 1, d, padding_idx=PADDING)
    with torch.no_grad():
        nn.init.normal_(table.weight, std=INITIAL_SCALE)[PADDING] = 0
    return table


def checked(windows: Integer[Tensor, "b n"], n_items: int, length: int) -> Int[Tensor, "b n"]:
    """Return windows as indices; DataError where they are too wide, empty, or name items that are not there.

    What is exported is not checked: a graph cannot branch on its input.
    """
    if windows.shape[1] > length or windows.shape[1] < 1:
        raise DataError(
            f"windows are {windows.shape[1]} events wide; this net reads 1 to {length}: keep the last {length} events, "
            "with zeros before the first"
        )
    _check_items("windows", windows, n_items)
    if not torch.compiler.is_compiling() and bool(((windows[:, :-1] != PADDING) & (windows[:, 1:] == PADDING)).any()):
        raise DataError("windows have padding after an item; wanted zeros before the first event only")
    return windows.long()


def checked_candidates(candidates: Integer[Tensor, "b c"], n_items: int) -> Int[Tensor, "b c"]:
    """Return candidates as indices; DataError where they name items that are not there. Nothing exported is checked."""
    _check_items("candidates", candidates, n_items)
    return candidates.long()


def _check_items(what: str, items: Tensor, n_items: int) -> None:
    if torch.compiler.is_compiling() or not items.numel():
        return
    least, most = int(items.min()), int(items.max())
    if least < 0 or most > n_items:
        raise DataError(
            f"{what} hold items from {least} to {most}; wanted 1 to {n_items}, and 0 for padding: an item that came "
            "after training has no vector"
        )


def catalogue_scores(
    states: Float[Tensor, "... d"], items: nn.Embedding, bias: Float[Tensor, " i"]
) -> Float[Tensor, "... i"]:
    """Return the products of states with every item's vector, plus its bias; -inf for padding."""
    return nn.functional.linear(states, items.weight, without_padding(bias))


def candidate_scores(
    states: Float[Tensor, "b d"], candidates: Integer[Tensor, "b c"], items: nn.Embedding, bias: Float[Tensor, " i"]
) -> Float[Tensor, "b c"]:
    """Return the products of states with the vectors of some items each, plus their biases; -inf for padding."""
    chosen = checked_candidates(candidates, items.num_embeddings - 1)
    return torch.einsum("bd,bcd->bc", states, items(chosen)) + without_padding(bias)[chosen]


def without_padding(bias: Float[Tensor, " i"]) -> Float[Tensor, " i"]:
    """Return biases with -inf for padding, which is never to be recommended."""
    return torch.cat([bias.new_full((1,), -torch.inf), bias[1:]])
