"""The public recipe, for comparison: what the device sees is read again, and whole matrices are generated and clipped.

A recurrent net reads the same window as the device; a stacked recurrent transfer gives a code a layer; each code is
mapped to a whole matrix and a shift, whose entries are clipped at an absolute value and added to the layer.

Not all of that recipe: codes are not clustered by k-means, and no edit is given to a group by its size. Every target
has an edit of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from persona.adapters.heads.forms import Form
from persona.adapters.heads.history import History
from persona.adapters.heads.readers import RecurrentReader
from persona.adapters.transfer import StackedTransfer
from persona.backbones.edited import EditedHead
from persona.spec import LayerSpec, ModelSpec, TensorSpec

CLIP = 0.1  # no generated entry passes it


@dataclass(frozen=True, eq=False)
class LayersForm:
    """Two layers between state and catalogue, each ``x + (Δ x + δ)``: at rest they pass the state on."""

    head: EditedHead

    @property
    def spec(self) -> ModelSpec:
        """A matrix and a shift for each of the two layers."""
        d = self.head.d
        shapes = {"weight": (d, d), "shift": (d,)}
        return ModelSpec(
            tuple(
                LayerSpec(layer, "linear", tuple(TensorSpec(f"{layer}.{n}", s, CLIP) for n, s in shapes.items()))
                for layer in ("first", "second")
            )
        )

    def query(self, states: Tensor, deltas: Mapping[str, Tensor]) -> Tensor:
        """Return queries of states that went through both layers."""
        for layer in ("first", "second"):
            moved = torch.einsum("bij,bj->bi", deltas[f"{layer}.weight"], states)
            states = states + moved + deltas[f"{layer}.shift"]
        return self.head.query(states)


class FaithfulEditor(nn.Module):
    """Window → recurrent reader → stacked transfer → whole matrices, clipped. The projections are trained."""

    def __init__(self, head: EditedHead, vectors: Tensor, code: int = 32) -> None:
        super().__init__()
        self.form: Form = LayersForm(head)
        self.reach = head.length
        self.reader = RecurrentReader(vectors, head.length)
        self.transfer = StackedTransfer(self.form.spec, self.reader.width, code)
        sizes = [sum(t.size for t in layer.tensors) for layer in self.form.spec.layers]
        self.outs = nn.ModuleList(nn.Linear(code, size) for size in sizes)
        for out in self.outs:
            nn.init.zeros_(out.weight)  # type: ignore[arg-type]
            nn.init.zeros_(out.bias)  # type: ignore[arg-type]

    def forward(self, history: History) -> dict[str, Tensor]:
        """Return deltas {name: (B, K, *shape)}."""
        context = self.reader(history)
        codes = self.transfer(context.flatten(0, 1))
        deltas: dict[str, Tensor] = {}
        for place, (layer, out) in enumerate(zip(self.form.spec.layers, self.outs, strict=True)):
            flat = out(codes[:, place]).clamp(-CLIP, CLIP)
            for tensor, part in zip(layer.tensors, flat.split([t.size for t in layer.tensors], dim=1), strict=True):
                deltas[tensor.name] = part.reshape(*context.shape[:2], *tensor.shape)
        return deltas
