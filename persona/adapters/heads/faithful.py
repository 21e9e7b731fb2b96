"""The public recipe, for comparison: what the device sees is read again, and whole matrices are generated and clipped.

A recurrent net reads the same window as the device; a stacked recurrent transfer gives a code a layer; each code is
mapped to a whole matrix and a shift, whose entries are clipped at an absolute value and added to the layer. Then codes
are clustered by k-means: each cluster has a prototype model and an editor of it, and a target belongs to the prototype
that its editor asks the smallest edit of. Unlike the public code, every projection is trained.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from persona.adapters.heads.forms import Form
from persona.adapters.heads.history import History
from persona.adapters.heads.readers import RecurrentReader
from persona.adapters.transfer import StackedTransfer
from persona.backbones.edited import EditedHead
from persona.prototypes.cluster import fit_centres
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
        return _tensors(self.form.spec, self.entries(self.codes(history)), history)

    def codes(self, history: History) -> Float[Tensor, "m n c"]:
        """Return a code a layer for each of the M = B · K targets."""
        codes: Tensor = self.transfer(self.reader(history).flatten(0, 1))
        return codes

    def entries(self, codes: Float[Tensor, "m n c"]) -> Float[Tensor, "m e"]:
        """Return all entries of the edits of codes, layer by layer."""
        return _generated(self.outs, codes)


class FaithfulGroups(nn.Module):
    """A trained editor's codes in clusters around `centres` (G, n, c): a prototype and an editor of it for each.

    A prototype is the edit of its centre, and its editor starts as the first one less that, so that at the start every
    target has the edit that it had, whichever its prototype. Both are then trained by the targets that are theirs.
    """

    def __init__(self, editor: FaithfulEditor, centres: Float[Tensor, "g n c"]) -> None:
        super().__init__()
        self.form, self.reach = editor.form, editor.reach
        self.reader, self.transfer = editor.reader, editor.transfer
        with torch.no_grad():
            self.prototypes = nn.Parameter(editor.entries(centres).clone())  # (G, E)
        self.outs = nn.ModuleList(copy.deepcopy(editor.outs) for _ in centres)
        sizes = [cast("nn.Linear", out).out_features for out in editor.outs]
        with torch.no_grad():
            for outs, prototype in zip(self.outs, self.prototypes, strict=True):
                for out, part in zip(cast("nn.ModuleList", outs), prototype.split(sizes), strict=True):
                    cast("nn.Linear", out).bias.sub_(part / CLIP)

    def forward(self, history: History) -> dict[str, Tensor]:
        """Return deltas {name: (B, K, *shape)}: each target's prototype and the residual edit on top of it."""
        residuals = self.residuals(history)  # (M, G, E)
        mine = smallest(residuals)
        residual = residuals[torch.arange(len(mine)), mine]
        return _tensors(self.form.spec, (self.prototypes[mine] + residual).clamp(-CLIP, CLIP), history)

    def residuals(self, history: History) -> Float[Tensor, "m g e"]:
        """Return what each prototype's editor would change of it, for each of the M = B · K targets."""
        codes = self.transfer(self.reader(history).flatten(0, 1))
        found = [_generated(cast("nn.ModuleList", outs), codes) for outs in self.outs]
        return torch.stack(found, dim=1)


def smallest(residuals: Float[Tensor, "m g e"]) -> Int[Tensor, " m"]:
    """Return the group of each target: the one whose residual edit is the smallest, of equal ones the first."""
    return residuals.detach().square().sum(dim=2).argmin(dim=1)


def code_centres(codes: Float[Tensor, "m n c"], groups: int, rng: np.random.Generator) -> Float[Tensor, "g n c"]:
    """Return the centres of codes by k-means: `groups`, or as many as there are different codes."""
    return torch.from_numpy(np.asarray(fit_centres(codes.numpy(), groups, rng).centres, np.float32))


def _generated(outs: nn.ModuleList, codes: Tensor) -> Tensor:
    """Return clipped entries (M, E); weights are kept relative to the clip, so that one learning rate fits all."""
    return CLIP * torch.cat([out(codes[:, place]) for place, out in enumerate(outs)], dim=1).clamp(-1, 1)


def _tensors(spec: ModelSpec, entries: Tensor, history: History) -> dict[str, Tensor]:
    """Return entries (B · K, E) as deltas {name: (B, K, *shape)}."""
    tensors = [tensor for layer in spec.layers for tensor in layer.tensors]
    parts = entries.split([tensor.size for tensor in tensors], dim=1)
    shape = history.distance.shape[:2]
    return {tensor.name: part.reshape(*shape, *tensor.shape) for tensor, part in zip(tensors, parts, strict=True)}
