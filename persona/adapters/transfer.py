"""Cross-layer transfer: context → normalised codes, one for all layers or one a layer (method §2).

Codes are layer-normalised without affine parameters, so each row has norm √d: with a tanh instead they collapse onto
one or two directions.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from persona.spec import ModelSpec


class SharedTransfer(nn.Module):
    """One code for all layers: u (B, h) → (B, 1, d)."""

    def __init__(self, spec: ModelSpec, width: int, code: int) -> None:
        super().__init__()
        self.code_shape = (1, code)
        self.out = nn.Linear(width, code)

    def forward(self, context: Float[Tensor, "b h"]) -> Float[Tensor, "b 1 d"]:
        """Return the normalised code."""
        return F.layer_norm(self.out(context), (self.code_shape[1],)).unsqueeze(1)


class AutoregressiveTransfer(nn.Module):
    """One code a layer, each from the context and the codes before it: u (B, h) → (B, n, d).

    ``h_l = Cell([u ; e_l ; z_{l−1}], h_{l−1})``, ``z_l = norm(MLP_l(h_l))``; e_l joins a learned embedding with a fixed
    descriptor of the layer: its shape and bounds.
    """

    descriptors: Tensor

    def __init__(self, spec: ModelSpec, width: int, code: int) -> None:
        super().__init__()
        self.code_shape = (len(spec.layers), code)
        self.register_buffer("descriptors", torch.from_numpy(describe_layers(spec)))
        self.embeddings = nn.Parameter(torch.randn(len(spec.layers), 8) * 0.1)
        self.cell = nn.GRUCell(width + 8 + self.descriptors.shape[1] + code, width)
        self.outs = nn.ModuleList(nn.Linear(width, code) for _ in spec.layers)

    def forward(self, context: Float[Tensor, "b h"]) -> Float[Tensor, "b n d"]:
        """Return the normalised codes, first layer to last."""
        batch = context.shape[0]
        state, z = torch.zeros_like(context), context.new_zeros(batch, self.code_shape[1])
        rows: list[Tensor] = []
        for index, out in enumerate(self.outs):
            layer = torch.cat([self.embeddings[index], self.descriptors[index]]).expand(batch, -1)
            state = self.cell(torch.cat([context, layer, z], dim=1), state)
            z = F.layer_norm(out(state), (self.code_shape[1],))
            rows.append(z)
        return torch.stack(rows, dim=1)


TRANSFERS: dict[str, type[SharedTransfer] | type[AutoregressiveTransfer]] = {
    "shared": SharedTransfer,
    "autoregressive": AutoregressiveTransfer,
}


def describe_layers(spec: ModelSpec) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return one row a layer (n, 5): kind as one of three, log of the largest tensor's size, log of its bound."""
    kinds = ("linear", "conv", "norm")
    rows = []
    for layer in spec.layers:
        largest = max(layer.tensors, key=lambda tensor: tensor.size)
        one_of = [float(layer.kind == kind) for kind in kinds]
        rows.append([*one_of, math.log10(largest.size) / 4, math.log10(largest.bound)])
    return np.array(rows, np.float32)
