"""An edit is a value: named deltas, one array per editable tensor (the parameter editing matrix)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from persona.errors import EditError
from persona.spec import ModelSpec, TensorSpec

Array = npt.NDArray[np.float32]

# Rounding on the way from a bounded delta to float32 and back may pass the bound by this share.
_BOUND_SLACK = 1e-4


class Edit:
    """Named deltas; read-only, so that an edit in force cannot change under a running prediction."""

    __slots__ = ("deltas",)

    def __init__(self, deltas: Mapping[str, npt.ArrayLike]) -> None:
        """Copy the arrays as float32 and freeze them."""
        frozen: dict[str, Array] = {}
        for name, values in deltas.items():
            array = np.array(values, dtype=np.float32)
            array.setflags(write=False)
            frozen[name] = array
        self.deltas: Mapping[str, Array] = MappingProxyType(frozen)

    @classmethod
    def zero(cls, spec: ModelSpec) -> Edit:
        """Return the edit that changes nothing."""
        return cls({tensor.name: np.zeros(tensor.shape, np.float32) for tensor in spec.tensors})

    @classmethod
    def mean(cls, edits: list[Edit]) -> Edit:
        """Return the entry-wise mean of edits of one model: the control that fits everybody and nobody."""
        if not edits:
            raise EditError("the mean of no edits is undefined; give at least one")
        for edit in edits[1:]:
            edits[0]._check_same_tensors(edit)
        return cls({name: np.mean([edit.deltas[name] for edit in edits], axis=0) for name in edits[0].deltas})

    @classmethod
    def from_bytes(cls, data: bytes) -> Edit:
        """Read what `to_bytes` wrote; EditError where it is something else."""
        try:
            arrays = load(data)
        except (SafetensorError, ValueError, KeyError) as error:
            raise EditError(f"an edit of {len(data)} bytes is not a safetensors container ({error})") from error
        for name, array in arrays.items():
            if array.dtype != np.float32:
                raise EditError(f"edit of {name!r} is {array.dtype}; wanted float32, as to_bytes writes it")
        return cls(arrays)

    def to_bytes(self) -> bytes:
        """Return the edit as a safetensors container."""
        return save(dict(self.deltas))

    @property
    def size_bytes(self) -> int:
        """Bytes of the deltas in memory."""
        return sum(delta.nbytes for delta in self.deltas.values())

    def check(self, spec: ModelSpec) -> Edit:
        """Return the edit itself if it fits the model; EditError naming the first tensor that does not."""
        extra = self.deltas.keys() - set(spec.names)
        if extra:
            raise EditError(
                f"edit has {min(extra)!r}, which this model does not edit; it edits {', '.join(spec.names)}"
            )
        for tensor in spec.tensors:
            _check_delta(self.deltas.get(tensor.name), tensor)
        return self

    def apply(self, weights: Mapping[str, Array]) -> dict[str, Array]:
        """Return new arrays W + Δ under the same names; tensors without a delta are passed on as they are.

        EditError where a delta has no weight, or one of another shape.
        """
        unknown = self.deltas.keys() - weights.keys()
        if unknown:
            raise EditError(f"edit has {min(unknown)!r}, which is not among the weights; they are {', '.join(weights)}")
        for name, delta in self.deltas.items():
            if delta.shape != weights[name].shape:  # numpy would broadcast where it can
                wanted = weights[name].shape
                raise EditError(f"edit of {name!r} has shape {delta.shape}, its weight has {wanted}")
        return {name: value + self.deltas[name] if name in self.deltas else value for name, value in weights.items()}

    def scale(self, factor: float) -> Edit:
        """Return the edit times a factor."""
        return Edit({name: delta * np.float32(factor) for name, delta in self.deltas.items()})

    def distance(self, other: Edit) -> float:
        """Return the Euclidean distance between two edits of one model, over all entries."""
        self._check_same_tensors(other)
        squares = (float(np.sum((self.deltas[n].astype(np.float64) - other.deltas[n]) ** 2)) for n in self.deltas)
        return math.sqrt(sum(squares))

    def _check_same_tensors(self, other: Edit) -> None:
        mine, theirs = ({name: delta.shape for name, delta in e.deltas.items()} for e in (self, other))
        if mine != theirs:
            raise EditError(f"two edits are of different models: one has {mine}, the other {theirs}")


def _check_delta(delta: Array | None, tensor: TensorSpec) -> None:
    if delta is None:
        raise EditError(f"edit of {tensor.name!r} is missing; this model needs one of shape {tensor.shape}")
    if delta.shape != tensor.shape:
        raise EditError(f"edit of {tensor.name!r} has shape {delta.shape}, this model needs {tensor.shape}")
    largest = float(np.max(np.abs(delta)))  # NaN where any entry is
    if not math.isfinite(largest):
        raise EditError(f"edit of {tensor.name!r} has entries that are not finite; discard it and ask again")
    if largest > tensor.bound * (1 + _BOUND_SLACK):
        raise EditError(f"edit of {tensor.name!r} reaches {largest:.4g}, its bound is {tensor.bound:.4g}; discard it")
