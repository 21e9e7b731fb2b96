"""What is generated for a head, and how a query is made of it: ours, and those of the peers.

Every form has a `spec` of the tensors that are generated, and ``query(states (B, d), deltas) -> (B, d + side)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from persona.backbones.edited import BOUNDS, CORE, SHIFT, SIDE, EditedHead
from persona.spec import LayerSpec, ModelSpec, TensorSpec

WEIGHT, SCALE = "head.weight", "head.scale"
WIDEST = BOUNDS[SHIFT]  # what no generated entry passes


@runtime_checkable
class Form(Protocol):
    """What is generated, and what becomes of it."""

    @property
    def spec(self) -> ModelSpec:
        """The tensors that are generated."""
        ...

    def query(self, states: Tensor, deltas: Mapping[str, Tensor]) -> Tensor:
        """Return queries (B, d + side) of states (B, d) under one set of generated tensors each."""
        ...


def _spec(**shapes: tuple[int, ...]) -> ModelSpec:
    tensors = tuple(TensorSpec(name.replace("_", "."), shape, WIDEST) for name, shape in shapes.items())
    return ModelSpec((LayerSpec("head", "linear", tensors),))


class EditForm(nn.Module):
    """Ours: a shift of the state, a core of low rank, and the item side; `names` leaves some of them at rest."""

    def __init__(self, head: EditedHead, names: tuple[str, ...] = (SHIFT, CORE, SIDE)) -> None:
        super().__init__()
        self.head = head
        layer = head.spec.layers[0]
        kept = tuple(tensor for tensor in layer.tensors if tensor.name in names)
        self._spec = ModelSpec((LayerSpec(layer.name, layer.kind, kept),))

    @property
    def spec(self) -> ModelSpec:
        """The tensors of the head's own edit that are generated."""
        return self._spec

    def query(self, states: Tensor, deltas: Mapping[str, Tensor]) -> Tensor:
        """Return the edited head's queries."""
        return self.head.query(states, deltas)


@dataclass(frozen=True, eq=False)
class FilmForm:
    """FiLM: every entry of the state is scaled and shifted (Perez et al., AAAI 2018)."""

    head: EditedHead

    @property
    def spec(self) -> ModelSpec:
        """A scale and a shift of d numbers."""
        return _spec(head_scale=(self.head.d,), head_shift=(self.head.d,))

    def query(self, states: Tensor, deltas: Mapping[str, Tensor]) -> Tensor:
        """Return queries of ``s · (1 + scale) + shift``."""
        return self.head.query(states * (1 + deltas[SCALE]), {SHIFT: deltas[SHIFT]})


@dataclass(frozen=True, eq=False)
class ReplacedForm:
    """DUET: a layer between state and catalogue is generated whole, and stands in the place of the head's own.

    It starts as the identity, so that training starts from the base and the peer is as strong as it can be.
    """

    head: EditedHead

    @property
    def spec(self) -> ModelSpec:
        """A matrix and a shift."""
        return _spec(head_weight=(self.head.d, self.head.d), head_shift=(self.head.d,))

    def query(self, states: Tensor, deltas: Mapping[str, Tensor]) -> Tensor:
        """Return queries of ``(I + weight) s + shift``, where I is where the generator's bias starts."""
        moved = states + torch.einsum("bij,bj->bi", deltas[WEIGHT], states)
        return self.head.query(moved, {SHIFT: deltas[SHIFT]})


class ApgForm(nn.Module):
    """APG: ``U S(z) V`` with a small generated S between two shared matrices, beside the state (Yan et al., 2022)."""

    def __init__(self, head: EditedHead, rank: int = 8) -> None:
        super().__init__()
        self.head = head
        self.up = nn.Parameter(nn.init.orthogonal_(torch.empty(head.d, rank)))
        self.down = nn.Parameter(nn.init.orthogonal_(torch.empty(rank, head.d)))
        self.rank = rank

    @property
    def spec(self) -> ModelSpec:
        """A small square matrix and a shift."""
        return _spec(head_weight=(self.rank, self.rank), head_shift=(self.head.d,))

    def query(self, states: Tensor, deltas: Mapping[str, Tensor]) -> Tensor:
        """Return queries of ``s + U S V s + shift``."""
        small = torch.einsum("bij,bj->bi", deltas[WEIGHT], states @ self.down.T)
        return self.head.query(states + small @ self.up.T, {SHIFT: deltas[SHIFT]})
