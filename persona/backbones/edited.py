"""A frozen sequence backbone with an edited head: what a device runs, and what an edit of it changes.

The backbone's state s (d) becomes a query, the edit's three tensors in it, and the catalogue is scored by one product:

    q = [s + shift + U · core · Vᵀ s ; side]        scores = table @ q + bias        table = [items E | side vectors Q]

Every tensor of an edit is zero at rest, so the head at rest scores as the backbone does. U, V and Q are learnt with the
adapter and shipped. `Broadcast` changes the table itself, for everybody: what the population did since the backbone
was trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from persona.backbones.items import PADDING, SequenceBackbone, without_padding
from persona.edit import Edit
from persona.errors import SpecError
from persona.spec import LayerSpec, ModelSpec, TensorSpec

SHIFT, CORE, SIDE = "head.shift", "head.core", "head.side"
# A state is normalised, its entries are about 1; no edit passes these, whatever the code.
BOUNDS = {SHIFT: 3.0, CORE: 1.0, SIDE: 3.0}


def head_spec(d: int, rank: int, side: int) -> ModelSpec:
    """Return what of a head may be edited: "head.shift" (d,), "head.core" (rank, rank), "head.side" (side,)."""
    shapes = {SHIFT: (d,), CORE: (rank, rank), SIDE: (side,)}
    return ModelSpec((LayerSpec("head", "linear", tuple(TensorSpec(n, s, BOUNDS[n]) for n, s in shapes.items())),))


@dataclass(frozen=True, eq=False)
class Broadcast:
    """One change of the table for everybody: added to biases (I + 1,), and to item vectors (I + 1, d) unless None."""

    bias: Tensor
    items: Tensor | None = None

    def on(self, items: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Return item vectors (I + 1, d) and biases (I + 1,) with the change."""
        return (items if self.items is None else items + self.items), bias + self.bias


class EditedHead(nn.Module):
    """A backbone that keeps a state, frozen, and its head with `rank` directions and `side` numbers an item beside.

    Deltas are {name: (B, *shape)}, one edit a row; where they are None or lack a tensor, that tensor is at rest.
    SpecError where rank or side are not positive, or the rank is above the state's size.
    """

    def __init__(self, backbone: nn.Module, rank: int = 4, side: int = 16) -> None:
        super().__init__()
        if not isinstance(backbone, SequenceBackbone):
            raise SpecError(
                f"{type(backbone).__name__} keeps no state, and this head edits one; take a SASRec or GRU4Rec"
            )
        items = backbone.table()[0]
        self.d = items.shape[1]
        if not 1 <= rank <= self.d or side < 1:
            raise SpecError(f"a head of rank {rank} and {side} numbers a side; wanted 1 to {self.d}, and 1 or more")
        self.n_items, self.length = backbone.n_items, backbone.length
        self.backbone = backbone.requires_grad_(False).eval()
        self.rank, self.side = rank, side
        self.left = nn.Parameter(nn.init.orthogonal_(torch.empty(self.d, rank)))
        self.right = nn.Parameter(nn.init.orthogonal_(torch.empty(self.d, rank)))
        self.side_items = nn.Parameter(torch.randn(self.n_items + 1, side) * items.std().item())
        with torch.no_grad():
            self.side_items[PADDING] = 0

    @property
    def spec(self) -> ModelSpec:
        """What an edit of this head consists of."""
        return head_spec(self.d, self.rank, self.side)

    def train(self, mode: bool = True) -> EditedHead:
        """Turn dropout on or off, but in the backbone, which is frozen."""
        super().train(mode)
        self.backbone.train(False)
        return self

    def forward(
        self, windows: Integer[Tensor, "b n"], deltas: Mapping[str, Tensor] | None = None
    ) -> Float[Tensor, "b q"]:
        """Return queries (B, d + side) after windows (B, L)."""
        return self.query(self.state(windows), deltas)

    def state(self, windows: Integer[Tensor, "b n"]) -> Float[Tensor, "b d"]:
        """Return the backbone's states (B, d) after windows (B, L)."""
        state: Tensor = self.backbone.state(windows)
        return state

    def query(self, states: Float[Tensor, "b d"], deltas: Mapping[str, Tensor] | None = None) -> Float[Tensor, "b q"]:
        """Return queries (B, d + side) of states (B, d) under one edit each."""
        found = dict(deltas or {})
        query = states
        if CORE in found:
            query = query + torch.einsum("dr,brs,bs->bd", self.left, found[CORE], states @ self.right)
        if SHIFT in found:
            query = query + found[SHIFT]
        side = found.get(SIDE, states.new_zeros(1, self.side)).expand(len(states), -1)
        return torch.cat([query, side], dim=1)

    def table(self, broadcast: Broadcast | None = None) -> tuple[Tensor, Tensor]:
        """Return the vectors (I + 1, d + side) and biases (I + 1,) that queries are scored against."""
        items, bias = self.backbone.table()
        if broadcast is not None:
            items, bias = broadcast.on(items, bias)
        return torch.cat([items, self.side_items], dim=1), bias

    def scores(self, queries: Float[Tensor, "b q"], broadcast: Broadcast | None = None) -> Float[Tensor, "b i"]:
        """Return scores (B, I + 1) of the whole catalogue, -inf for padding."""
        vectors, bias = self.table(broadcast)
        return nn.functional.linear(queries, vectors, without_padding(bias))


def deltas_of(edit: Edit) -> dict[str, Tensor]:
    """Return an edit as deltas for a batch of one, which every row of a batch then has."""
    return {name: torch.from_numpy(delta.copy())[None] for name, delta in edit.deltas.items()}
