"""Code → edit, in numpy: the half of the generator that ships to devices.

Per tensor a map that is linear in its code, bounded relative to the tensor it edits (method §3):
``Δ_t = γ_t · tanh(D_t(z) / γ_t)``. The map D_t is *dense* (``z P + p``) or *kernel* (``U(z) V(z)ᵀ``, low rank by
construction).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from persona.edit import Array, Edit
from persona.errors import SpecError, WireError
from persona.spec import ModelSpec, TensorSpec

Float64 = npt.NDArray[np.float64]


class Part(Protocol):
    """One tensor's map from a code row to an unbounded delta.

    It computes in float64, where no product of float32 entries overflows: a huge code has a delta too.
    """

    def __call__(self, z: Float64) -> Float64:
        """Map a code row (d,) to a delta of size entries, flat."""

    def arrays(self) -> dict[str, Array]:
        """Return the part's parameters by name."""


@dataclass(frozen=True)
class DensePart:
    """``z P + p``: weight P (d, size), bias p (size,)."""

    weight: Array
    bias: Array

    def __call__(self, z: Float64) -> Float64:
        """Map a code row (d,) to a delta, flat."""
        return z @ self.weight + self.bias

    def arrays(self) -> dict[str, Array]:
        """Return weight and bias."""
        return {"weight": self.weight, "bias": self.bias}


@dataclass(frozen=True)
class KernelPart:
    """``U(z) V(z)ᵀ`` of rank r: left maps z to U (out, r), right to V (rest, r), each affine.

    Shapes: left (d, out·r), left_bias (out·r,), right (d, rest·r), right_bias (rest·r,).
    """

    left: Array
    left_bias: Array
    right: Array
    right_bias: Array
    rank: int

    def __call__(self, z: Float64) -> Float64:
        """Map a code row (d,) to a delta, flat."""
        u, v = self.factors(z)
        return (u @ v.T).reshape(-1)

    def factors(self, z: Float64) -> tuple[Float64, Float64]:
        """Map a code row (d,) to U (out, r) and V (rest, r)."""
        u = (z @ self.left + self.left_bias).reshape(-1, self.rank)
        v = (z @ self.right + self.right_bias).reshape(-1, self.rank)
        return u, v

    def arrays(self) -> dict[str, Array]:
        """Return both factors and their biases."""
        return {
            "left": self.left,
            "left_bias": self.left_bias,
            "right": self.right,
            "right_bias": self.right_bias,
        }


@dataclass(frozen=True)
class Decoder:
    """All tensors' maps. A code has shape (n, d): n = 1 row shared by the layers, or one row a layer."""

    spec: ModelSpec
    parts: Mapping[str, Part]
    code_shape: tuple[int, int]

    def __post_init__(self) -> None:
        """SpecError where parts and spec disagree."""
        rows, width = self.code_shape
        if rows not in (1, len(self.spec.layers)) or width < 1:
            raise SpecError(
                f"a decoder's code has shape {self.code_shape}; wanted (1, d) or ({len(self.spec.layers)}, d)"
            )
        if set(self.parts) != set(self.spec.names):
            raise SpecError(f"a decoder has parts for {sorted(self.parts)}; wanted {sorted(self.spec.names)}")
        for tensor in self.spec.tensors:
            _check_part(tensor, self.parts[tensor.name], width)

    def decode(self, code: npt.ArrayLike) -> Edit:
        """Return the edit of one code of shape (n, d), within the bounds however large the code.

        WireError where the code has another shape or entries that are not finite.
        """
        deltas: dict[str, Array] = {}
        for tensor, z in self._inputs(code):
            delta = tensor.bound * np.tanh(self.parts[tensor.name](z) / tensor.bound)
            deltas[tensor.name] = delta.astype(np.float32).reshape(tensor.shape)
        return Edit(deltas)

    def factors(self, code: npt.ArrayLike) -> dict[str, tuple[Float64, Float64]]:
        """Return U (out, r) and V (rest, r) of every tensor that a kernel makes from a code (n, d).

        Its delta is bound · tanh(U Vᵀ / bound). Only such an edit is of low rank; cutting another down destroys it.
        WireError as from `decode`.
        """
        return {
            tensor.name: part.factors(z)
            for tensor, z in self._inputs(code)
            if isinstance(part := self.parts[tensor.name], KernelPart)
        }

    def _inputs(self, code: npt.ArrayLike) -> Iterator[tuple[TensorSpec, Float64]]:
        """Yield every tensor with the code row (d,) that it is made from."""
        rows = np.asarray(code, np.float32)
        if rows.shape != self.code_shape:
            raise WireError(f"a code has shape {rows.shape}, this bundle's decoder needs {self.code_shape}")
        if not np.isfinite(rows).all():
            raise WireError("a code has entries that are not finite; discard it and ask again")
        for index, layer in enumerate(self.spec.layers):
            z = rows[index if len(rows) > 1 else 0].astype(np.float64)
            for tensor in layer.tensors:
                yield tensor, z

    def to_arrays(self) -> dict[str, Array]:
        """Return every parameter as ``{tensor}/{parameter}``."""
        return {f"{name}/{key}": value for name, part in self.parts.items() for key, value in part.arrays().items()}

    @classmethod
    def from_arrays(cls, spec: ModelSpec, code_shape: tuple[int, int], arrays: Mapping[str, Array]) -> Decoder:
        """Read what `to_arrays` wrote; SpecError where arrays are missing or do not fit."""
        return cls(spec, {tensor.name: _part_from_arrays(tensor, arrays) for tensor in spec.tensors}, code_shape)


def _part_from_arrays(tensor: TensorSpec, arrays: Mapping[str, Array]) -> Part:
    name = tensor.name
    if f"{name}/weight" in arrays:
        return DensePart(_array(arrays, f"{name}/weight"), _array(arrays, f"{name}/bias"))
    keys = ("left", "left_bias", "right", "right_bias")
    left, left_bias, right, right_bias = (_array(arrays, f"{name}/{key}") for key in keys)
    out = tensor.shape[0]
    rank, remainder = divmod(left_bias.size, out)
    if remainder or rank < 1:
        raise SpecError(f"decoder of {name!r}: {left_bias.size} left entries do not divide over {out} rows")
    return KernelPart(left, left_bias, right, right_bias, rank)


def _array(arrays: Mapping[str, Array], key: str) -> Array:
    if key not in arrays:
        raise SpecError(f"decoder array {key!r} is missing; wanted weight and bias, or left, right and their biases")
    return np.asarray(arrays[key], np.float32)


def _check_part(tensor: TensorSpec, part: Part, width: int) -> None:
    if isinstance(part, DensePart):
        wanted = {"weight": (width, tensor.size), "bias": (tensor.size,)}
    elif isinstance(part, KernelPart):
        out, rest = tensor.shape[0] * part.rank, tensor.size // tensor.shape[0] * part.rank
        wanted = {"left": (width, out), "left_bias": (out,), "right": (width, rest), "right_bias": (rest,)}
    else:
        raise SpecError(f"decoder of {tensor.name!r} is a {type(part).__name__}; wanted DensePart or KernelPart")
    for key, value in part.arrays().items():
        if value.shape != wanted[key]:
            raise SpecError(f"decoder of {tensor.name!r}: {key} has shape {value.shape}, wanted {wanted[key]}")
        if not np.isfinite(value).all():
            raise SpecError(f"decoder of {tensor.name!r}: {key} has entries that are not finite")
