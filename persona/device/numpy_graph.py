"""A graph in numpy alone: for devices without onnxruntime, and to hold onnxruntime against in tests.

It knows the operations that this package's own nets and adapters export to, and refuses any other when it is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from persona.device.graph import OUTPUTS, Bound, Port
from persona.device.numpy_operations import OPERATIONS
from persona.device.onnx_file import Node, read_onnx
from persona.edit import Array
from persona.errors import BundleError

Tensor = npt.NDArray[Any]


class NumpyGraph:
    """One graph; see `persona.device.graph.Graph`. It keeps nothing between runs."""

    def __init__(self, graph: bytes) -> None:
        """BundleError where it is no ONNX file, or has an operation that is unknown here."""
        file = read_onnx(graph)
        unknown = sorted({node.kind for node in file.nodes} - OPERATIONS.keys())
        if unknown:
            raise BundleError(
                f"a graph has the operation {unknown[0]!r}, which numpy does not run here; it knows "
                f"{', '.join(sorted(OPERATIONS))}: install onnxruntime"
            )
        self._nodes = file.nodes
        self._last_use = _last_uses(file.nodes)
        self._constants = {name: tensor for name, tensor in file.constants.items() if name}
        self.inputs: Mapping[str, Port] = {v.name: (v.kind, v.shape) for v in file.inputs}
        self.outputs = tuple(value.name for value in file.outputs)

    def bind(self, arrays: Mapping[str, Array]) -> Bound:
        """Return the run under a set of weights."""

        def run(x: Array) -> tuple[Array, Array]:
            found = self.run({"x": x, **arrays})
            logits, moments = (np.asarray(found[name], np.float32) for name in OUTPUTS)
            return logits, moments

        return run

    def run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return every output by name; BundleError where an input is missing or an operation fails."""
        missing = self.inputs.keys() - feeds.keys()
        if missing:
            raise BundleError(f"a graph needs the input {min(missing)!r}; it has {', '.join(self.inputs)}")
        values: dict[str, Tensor] = {"": np.zeros(0, np.float32), **self._constants, **feeds}
        for index, node in enumerate(self._nodes):
            self._apply(node, values)
            for name in self._last_use[index]:
                del values[name]
        return {name: values[name] for name in self.outputs}

    def _apply(self, node: Node, values: dict[str, Tensor]) -> None:
        given = [values[name] if name else None for name in node.inputs]
        try:
            with np.errstate(all="ignore"):  # as onnxruntime: what is not finite shows in the outputs
                found = OPERATIONS[node.kind](given, node.attributes)
        except (ValueError, IndexError, TypeError, KeyError) as error:
            shapes = [None if one is None else one.shape for one in given]
            raise BundleError(f"{node.kind} of a graph fails on inputs of shapes {shapes}: {error}") from error
        values.update(zip(node.outputs, found if isinstance(found, list) else [found], strict=False))


def _last_uses(nodes: list[Node]) -> list[list[str]]:
    """Return for each node what nothing needs after it: activations are let go as soon as that."""
    made = {name for node in nodes for name in node.outputs}
    last: dict[str, int] = {name: index for index, node in enumerate(nodes) for name in node.inputs if name in made}
    uses: list[list[str]] = [[] for _ in nodes]
    for name, index in last.items():
        uses[index].append(name)
    return uses
