"""Codes → deltas in torch: the trainable twin of `persona.decoder`, tensor by tensor.

Parameters are kept relative to each tensor's bound γ, ``Δ = γ · tanh(D(z))``, so that one learning rate fits all
tensors. Every decoder starts at exactly zero, and step 0 equals the base model. Of the kinds, "basis" gives every
tensor full weights, ``Σ_k z_k B_k + B_0``, and "kernel" gives large ones a map of low rank. "dense" is the earlier name
of "basis", and the same map.
"""

from __future__ import annotations

import math
from typing import Literal, cast, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from persona.decoder import Decoder, DensePart, KernelPart
from persona.edit import Array
from persona.errors import SpecError
from persona.spec import ModelSpec, TensorSpec

DecoderKind = Literal["kernel", "basis", "dense"]
# Tensors up to this size get a dense map even in a kernel decoder: it is as small there.
DENSE_LIMIT = 1024


class DenseMap(nn.Module):
    """``z P + p``, zero at the start: the rows of P are a basis of edits, p one more that is always on."""

    def __init__(self, tensor: TensorSpec, code: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(code, tensor.size))
        self.bias = nn.Parameter(torch.zeros(tensor.size))

    def forward(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b size"]:
        """Map codes to flat relative deltas."""
        return z @ self.weight + self.bias

    def to_part(self, bound: float) -> DensePart:
        """Return the numpy twin, scaled to the tensor."""
        return DensePart(_array(self.weight, bound), _array(self.bias, bound))


class KernelMap(nn.Module):
    """``U(z) V(z)ᵀ`` of rank r; U starts at zero, V does not, so that a gradient reaches U."""

    def __init__(self, tensor: TensorSpec, code: int, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.scale = 1 / math.sqrt(rank)
        rows = tensor.shape[0]
        self.left = nn.Parameter(torch.zeros(code, rows * rank))
        self.left_bias = nn.Parameter(torch.zeros(rows * rank))
        self.right = nn.Parameter(torch.randn(code, tensor.size // rows * rank) / math.sqrt(code))
        self.right_bias = nn.Parameter(torch.zeros(tensor.size // rows * rank))

    def forward(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b size"]:
        """Map codes to flat relative deltas."""
        u = (z @ self.left + self.left_bias).reshape(len(z), -1, self.rank)
        v = (z @ self.right + self.right_bias).reshape(len(z), -1, self.rank)
        return torch.bmm(u, v.transpose(1, 2)).flatten(1) * self.scale

    def to_part(self, bound: float) -> KernelPart:
        """Return the numpy twin, scaled to the tensor."""
        factor = bound * self.scale
        left, left_bias = _array(self.left, factor), _array(self.left_bias, factor)
        return KernelPart(left, left_bias, _array(self.right, 1.0), _array(self.right_bias, 1.0), self.rank)


class DeltaDecoder(nn.Module):
    """All tensors' maps, in the order of the spec. A code has shape (n, d): one row for all layers, or one a layer.

    SpecError for an unknown kind, or a rank or code without room for anything: a normalised code of width 1 is 0.
    """

    def __init__(
        self, spec: ModelSpec, code_shape: tuple[int, int], kind: DecoderKind = "kernel", rank: int = 4
    ) -> None:
        super().__init__()
        if kind not in get_args(DecoderKind):
            raise SpecError(f"decoder {kind!r} is unknown; wanted one of {', '.join(get_args(DecoderKind))}")
        if rank < 1 or code_shape[1] < 2:
            raise SpecError(f"a decoder of rank {rank} for codes {code_shape}; wanted rank 1 and width 2, or more")
        self.spec, self.code_shape = spec, code_shape
        self.maps = nn.ModuleList(_map_for(tensor, code_shape[1], kind, rank) for tensor in spec.tensors)

    def forward(self, codes: Float[Tensor, "b n d"]) -> dict[str, Tensor]:
        """Return {tensor name: (B, *shape)}."""
        deltas: dict[str, Tensor] = {}
        for tensor, relative in zip(self.spec.tensors, self.maps, strict=True):
            row = self.spec.layer_of(tensor.name) if self.code_shape[0] > 1 else 0
            delta = tensor.bound * torch.tanh(relative(codes[:, row]))
            deltas[tensor.name] = delta.reshape(-1, *tensor.shape)
        return deltas

    def to_numpy(self) -> Decoder:
        """Return the half that ships to devices."""
        maps = cast("list[DenseMap | KernelMap]", list(self.maps))
        parts = {t.name: m.to_part(t.bound) for t, m in zip(self.spec.tensors, maps, strict=True)}
        return Decoder(self.spec, parts, self.code_shape)


def _map_for(tensor: TensorSpec, code: int, kind: DecoderKind, rank: int) -> DenseMap | KernelMap:
    if kind != "kernel" or len(tensor.shape) == 1 or tensor.size <= DENSE_LIMIT:
        return DenseMap(tensor, code)
    return KernelMap(tensor, code, rank)


def _array(parameter: Tensor, factor: float) -> Array:
    scaled: Array = (parameter.detach() * factor).cpu().numpy()
    return scaled
