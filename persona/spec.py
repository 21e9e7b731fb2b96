"""Which tensors of a model may be edited: their names, shapes, bounds and frozen order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from persona.errors import SpecError

KINDS = ("linear", "conv", "norm")

# Deltas are float32, and so is other people's arithmetic with bounds: beyond this range it meets 0 or infinity.
_BOUND_RANGE = (1e-30, 1e30)


@dataclass(frozen=True)
class TensorSpec:
    """One editable tensor.

    `bound` is γ_t of method §3: no entry of an edit of this tensor exceeds it in absolute value.
    """

    name: str
    shape: tuple[int, ...]
    bound: float

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class LayerSpec:
    """One editable layer: its tensors share one row of the code."""

    name: str
    kind: str
    tensors: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class ModelSpec:
    """The editable layers of one model, in the order in which a forward pass meets them."""

    layers: tuple[LayerSpec, ...]

    def __post_init__(self) -> None:
        """Raise SpecError where names repeat, a kind is unknown, or a shape or bound makes no sense."""
        if not self.layers:
            raise SpecError("a model spec has no layers; it needs at least one editable layer")
        seen: set[str] = set()
        for layer in self.layers:
            if layer.kind not in KINDS:
                raise SpecError(f"layer {layer.name!r} is of kind {layer.kind!r}; wanted one of {', '.join(KINDS)}")
            if not layer.tensors:
                raise SpecError(f"layer {layer.name!r} has no tensors; leave it out")
            for tensor in layer.tensors:
                _check_tensor(tensor, seen)

    @cached_property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """All editable tensors, layer by layer."""
        return tuple(tensor for layer in self.layers for tensor in layer.tensors)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the editable tensors, in order."""
        return tuple(tensor.name for tensor in self.tensors)

    @cached_property
    def size(self) -> int:
        """Number of editable entries in all."""
        return sum(tensor.size for tensor in self.tensors)

    def layer_of(self, tensor_name: str) -> int:
        """Return the index of the layer that owns a tensor; SpecError where none does."""
        for index, layer in enumerate(self.layers):
            if any(tensor.name == tensor_name for tensor in layer.tensors):
                return index
        raise SpecError(f"no editable tensor is named {tensor_name!r}; there are {', '.join(self.names)}")

    def to_json(self) -> list[dict[str, Any]]:
        """Return plain lists and dicts, ready for `json.dumps`."""
        return [
            {
                "name": layer.name,
                "kind": layer.kind,
                "tensors": [{"name": t.name, "shape": list(t.shape), "bound": t.bound} for t in layer.tensors],
            }
            for layer in self.layers
        ]

    @classmethod
    def from_json(cls, value: Any) -> ModelSpec:
        """Read what `to_json` wrote; SpecError where it is something else."""
        try:
            return cls(tuple(_layer_from_json(layer) for layer in value))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise SpecError(f"a model spec in JSON is malformed ({error!r}); wanted a list of layers") from error


def _check_tensor(tensor: TensorSpec, seen: set[str]) -> None:
    if not tensor.name:
        raise SpecError(f"a tensor of shape {tensor.shape} in a model spec has an empty name; give it one")
    if tensor.name in seen:
        raise SpecError(f"tensor {tensor.name!r} stands twice in a model spec; each may be edited once")
    if not tensor.shape or min(tensor.shape) < 1:
        raise SpecError(f"tensor {tensor.name!r} has shape {tensor.shape}; wanted at least one axis, none empty")
    low, high = _BOUND_RANGE
    if not low <= tensor.bound <= high:  # False for NaN
        raise SpecError(f"tensor {tensor.name!r} has bound {tensor.bound}; wanted one from {low:g} to {high:g}")
    seen.add(tensor.name)


def _layer_from_json(layer: Mapping[str, Any]) -> LayerSpec:
    tensors = tuple(
        TensorSpec(str(t["name"]), tuple(int(n) for n in t["shape"]), float(t["bound"])) for t in layer["tensors"]
    )
    return LayerSpec(str(layer["name"]), str(layer["kind"]), tensors)
