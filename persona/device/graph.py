"""What runs a bundle's graph on a device: onnxruntime where it is installed, numpy alone where it is not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

from persona.edit import Array
from persona.errors import BundleError

logger = logging.getLogger(__name__)

RunsOn = Literal["auto", "onnxruntime", "numpy"]
OUTPUTS = ("logits", "moments")
FLOAT32 = "tensor(float)"

# From x (N, *input_shape) to logits (N, C) and moments (N, M), under weights that are bound already.
Bound = Callable[[Array], tuple[Array, Array]]
# An input's type, in onnxruntime's words, and its shape; a free axis is a name or None.
Port = tuple[str, Sequence[int | str | None]]


class Graph(Protocol):
    """A graph that is ready to run. Many threads may run it at once, each with weights of its choice."""

    @property
    def inputs(self) -> Mapping[str, Port]:
        """Type and shape of every input by name."""

    @property
    def outputs(self) -> Sequence[str]:
        """The names of the outputs."""

    def bind(self, arrays: Mapping[str, Array]) -> Bound:
        """Return the run under a set of weights, which nobody may write to from here on."""


def open_graph(graph: bytes, threads: int, runs_on: RunsOn = "auto") -> Graph:
    """Return a bundle's graph, ready to run; BundleError where it is refused, or onnxruntime is wanted and absent.

    "auto" takes onnxruntime where it is installed and numpy elsewhere, which is many times slower and knows the
    operations of this package's own nets alone.
    """
    if runs_on != "numpy":
        try:
            from persona.device.ort_graph import OrtGraph

            return OrtGraph(graph, threads)
        except ModuleNotFoundError as error:
            if error.name != "onnxruntime":
                raise
            if runs_on == "onnxruntime":
                raise BundleError("onnxruntime is not installed; install it, or run on numpy") from error
            logger.warning("onnxruntime is not installed: this device runs on numpy, many times slower")
    from persona.device.numpy_graph import NumpyGraph

    return NumpyGraph(graph)
