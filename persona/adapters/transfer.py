"""Cross-layer transfer: context → normalised codes, one for all layers or one a layer (method §2).

Codes are layer-normalised without affine parameters, so each row has norm √d: with a tanh instead they collapse onto
one or two directions. Rows stand in forward order, c = [z_1 … z_n]. In the counts of parameters n is the number of
layers, h the width of the context and d that of a code.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from persona.adapters.attention import LayerAttention
from persona.spec import ModelSpec

Transfer = Literal["shared", "autoregressive", "stacked", "attention", "none"]

EMBEDDING = 8  # entries of what is learned of each layer


class SharedTransfer(nn.Module):
    """One code for all layers: u (B, h) → (B, 1, d). It has (h + 1)·d parameters."""

    def __init__(self, spec: ModelSpec, width: int, code: int) -> None:
        super().__init__()
        self.code_shape = (1, code)
        self.out = nn.Linear(width, code)

    def forward(self, context: Float[Tensor, "b h"]) -> Float[Tensor, "b 1 d"]:
        """Return the normalised code."""
        return _normalised(self.out(context)).unsqueeze(1)


class IndependentTransfer(nn.Module):
    """A linear map of its own for each layer, the ablation "none": u (B, h) → (B, n, d).

    It has n·(h + 1)·d parameters.
    """

    def __init__(self, spec: ModelSpec, width: int, code: int) -> None:
        super().__init__()
        self.code_shape = (len(spec.layers), code)
        self.outs = nn.ModuleList(nn.Linear(width, code) for _ in spec.layers)

    def forward(self, context: Float[Tensor, "b h"]) -> Float[Tensor, "b n d"]:
        """Return the normalised codes, first layer to last."""
        return torch.stack([_normalised(out(context)) for out in self.outs], dim=1)


class AutoregressiveTransfer(nn.Module):
    """One code a layer, each from the context and the codes before it: u (B, h) → (B, n, d).

    ``h_l = Cell([u ; e_l ; z_{l−1}], h_{l−1})``, ``z_l = norm(MLP_l(h_l))``; e_l joins a learned embedding with a fixed
    descriptor of the layer: its shape and bounds. It has 3h·(2h + d + 15) + 8n + n·(h + 1)·d parameters.
    """

    descriptors: Tensor

    def __init__(self, spec: ModelSpec, width: int, code: int) -> None:
        super().__init__()
        self.code_shape = (len(spec.layers), code)
        self.register_buffer("descriptors", torch.from_numpy(describe_layers(spec)))
        self.embeddings = nn.Parameter(torch.randn(len(spec.layers), EMBEDDING) * 0.1)
        self.cell = nn.GRUCell(width + EMBEDDING + self.descriptors.shape[1] + code, width)
        self.outs = nn.ModuleList(nn.Linear(width, code) for _ in spec.layers)

    def forward(self, context: Float[Tensor, "b h"]) -> Float[Tensor, "b n d"]:
        """Return the normalised codes, first layer to last."""
        batch = context.shape[0]
        state, z = torch.zeros_like(context), context.new_zeros(batch, self.code_shape[1])
        rows: list[Tensor] = []
        for index, out in enumerate(self.outs):
            layer = torch.cat([self.embeddings[index], self.descriptors[index]]).expand(batch, -1)
            state = self.cell(torch.cat([context, layer, z], dim=1), state)
            z = _normalised(out(state))
            rows.append(z)
        return torch.stack(rows, dim=1)


class StackedTransfer(nn.Module):
    """An n-layer GRU over n copies of the context, z_l from its l-th layer: u (B, h) → (B, n, d).

    ``z_l = norm(MLP_l(h_l))`` with h_l the last state of the l-th GRU layer, so that each layer builds on those before
    it. It has n·(6h² + 6h) + n·(h + 1)·d parameters: deep nets want a narrow context.
    """

    def __init__(self, spec: ModelSpec, width: int, code: int) -> None:
        super().__init__()
        self.code_shape = (len(spec.layers), code)
        self.stack = nn.GRU(width, width, num_layers=len(spec.layers), batch_first=True)
        self.outs = nn.ModuleList(nn.Linear(width, code) for _ in spec.layers)

    def forward(self, context: Float[Tensor, "b h"]) -> Float[Tensor, "b n d"]:
        """Return the normalised codes, first layer to last."""
        copies = context.unsqueeze(1).expand(-1, self.code_shape[0], -1)  # (B, n, h)
        _, last = self.stack(copies)  # (n, B, h)
        return torch.stack([_normalised(out(state)) for out, state in zip(self.outs, last, strict=True)], dim=1)


class AttentionTransfer(nn.Module):
    """Layers ask the context and each other, by attention: u (B, h) → (B, n, d).

    A layer's query is made of its embedding and descriptor; keys and values are four tokens made of the context, and
    the queries themselves. One block of two heads of 16, whatever n is: with a = 32 it has
    4a·(h + 1) + 14a + 8n + 8a² + 6a + (a + 1)·d parameters.
    """

    descriptors: Tensor

    def __init__(self, spec: ModelSpec, width: int, code: int) -> None:
        super().__init__()
        self.code_shape = (len(spec.layers), code)
        self.register_buffer("descriptors", torch.from_numpy(describe_layers(spec)))
        self.embeddings = nn.Parameter(torch.randn(len(spec.layers), EMBEDDING))
        self.attention = LayerAttention(width, EMBEDDING + self.descriptors.shape[1])
        self.out = nn.Linear(self.attention.width, code)

    def forward(self, context: Float[Tensor, "b h"]) -> Float[Tensor, "b n d"]:
        """Return the normalised codes, first layer to last."""
        layers = torch.cat([self.embeddings, self.descriptors], dim=1)  # (n, e)
        return _normalised(self.out(self.attention(context, layers)))


AnyTransfer = SharedTransfer | IndependentTransfer | AutoregressiveTransfer | StackedTransfer | AttentionTransfer

TRANSFERS: dict[str, type[AnyTransfer]] = {
    "shared": SharedTransfer,
    "autoregressive": AutoregressiveTransfer,
    "stacked": StackedTransfer,
    "attention": AttentionTransfer,
    "none": IndependentTransfer,
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


def _normalised(rows: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
    return F.layer_norm(rows, rows.shape[-1:])
