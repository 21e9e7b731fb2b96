"""The model on the device: one graph whose editable weights are plain inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from persona.bundle import Bundle
from persona.device.graph import FLOAT32, OUTPUTS, Bound, Graph, RunsOn, open_graph
from persona.edit import Array, Edit
from persona.errors import BundleError, DataError


@dataclass(frozen=True)
class Weights:
    """One set of editable weights W + Δ, bound to the graph.

    Runs under way read the arrays themselves: writing into one would tear them. So they are read-only, and another edit
    is another set.
    """

    arrays: Mapping[str, Array]
    run: Bound = field(compare=False, repr=False)


class DeviceModel:
    """The graph of a bundle. Many threads may call `run`, each with a set of weights of its choice."""

    def __init__(self, bundle: Bundle, threads: int = 1, runs_on: RunsOn = "auto") -> None:
        """Load the graph with `threads` threads a run, into what `open_graph` finds, and run it once on zeros.

        BundleError where that refuses it, or its inputs and outputs are not those of the bundle.
        """
        self._bundle = bundle
        self._graph = open_graph(bundle.graph, threads, runs_on)
        _check_inputs(self._graph, bundle)
        if set(self._graph.outputs) != set(OUTPUTS):
            found = sorted(self._graph.outputs)
            raise BundleError(f"a bundle's graph has outputs {found}; wanted {list(OUTPUTS)}: export it anew")
        self._base = {name: np.array(bundle.weights[name], np.float32, order="C") for name in bundle.spec.names}
        self._check_outputs()

    def weights(self, edit: Edit | None, settled: Mapping[str, Array] | None = None) -> Weights:
        """Return a new set W + Δ, or W for None; EditError where the edit does not fit the spec of the bundle.

        `settled` {tensor name: delta} stands in the place of the edit's own deltas of these names: what the device made
        of them. It comes after the check, since no bounds of learned edits hold for it.
        """
        arrays = self._base
        if edit is not None:
            checked = edit.check(self._bundle.spec)
            arrays = (Edit({**checked.deltas, **settled}) if settled else checked).apply(self._base)
        for array in arrays.values():
            array.setflags(write=False)
        return Weights(arrays, self._graph.bind(arrays))

    def run(self, x: Array, weights: Weights) -> tuple[Array, Array]:
        """Return logits (N, C) and moments (N, M) of x (N, *input_shape) float32.

        DataError where x is something else; BundleError where the graph itself fails on it.
        """
        self._check_x(x)
        try:
            return weights.run(x)
        except Exception as error:  # onnxruntime's errors have no base class of their own
            raise BundleError(f"a bundle's graph fails on x of shape {x.shape}: {error}; export it anew") from error

    def _check_x(self, x: Array) -> None:
        shape = self._bundle.input_shape
        wanted = f"wanted a numpy array of float32 and shape (N, {', '.join(map(str, shape))})"
        if not isinstance(x, np.ndarray):
            raise DataError(f"x is a {type(x).__name__}; {wanted}")
        if x.dtype != np.float32:
            raise DataError(f"x is {x.dtype} of shape {x.shape}; {wanted}: convert it")
        if x.shape[1:] != shape or x.ndim != len(shape) + 1 or not len(x):
            raise DataError(f"x has shape {x.shape}; {wanted}, N at least 1")

    def _check_outputs(self) -> None:
        batch = 2
        logits, moments = self.run(np.zeros((batch, *self._bundle.input_shape), np.float32), self.weights(None))
        sketch = self._bundle.sketch
        if moments.shape != (batch, sketch.n_moments):
            raise BundleError(
                f"a bundle's graph gives moments {moments.shape} for {batch} samples; its sketch needs "
                f"({batch}, {sketch.n_moments}): export it anew"
            )
        if logits.ndim != 2 or len(logits) != batch or sketch.n_classes not in (0, logits.shape[1]):
            raise BundleError(
                f"a bundle's graph gives logits {logits.shape} for {batch} samples; wanted ({batch}, C), "
                f"C = {sketch.n_classes or 'anything'}: export it anew"
            )


def _check_inputs(graph: Graph, bundle: Bundle) -> None:
    found = graph.inputs
    wanted = {"x", *bundle.spec.names}
    if found.keys() != wanted:
        raise BundleError(
            f"a bundle's graph has inputs {sorted(found)}; wanted x and its editable weights, {sorted(wanted)}: "
            "a pass over the graph may have baked weights in; export it anew"
        )
    for name, (kind, _) in found.items():
        if kind != FLOAT32:
            raise BundleError(f"input {name!r} of a bundle's graph is {kind}; wanted {FLOAT32}")
    for tensor in bundle.spec.tensors:
        shape = found[tensor.name][1]
        if tuple(shape) != tensor.shape:
            raise BundleError(
                f"input {tensor.name!r} of a bundle's graph has shape {shape}; its spec says {tensor.shape}"
            )
    _check_x_input(found["x"][1], bundle.input_shape)


def _check_x_input(found: Sequence[int | str | None], wanted: tuple[int, ...]) -> None:
    """The first axis must take any N; the others fit where equal or free."""
    free_batch = bool(found) and not isinstance(found[0], int)
    fits = len(found) == len(wanted) + 1 and all(
        not isinstance(have, int) or have == want for have, want in zip(found[1:], wanted, strict=True)
    )
    if not (free_batch and fits):
        raise BundleError(f"input 'x' of a bundle's graph has shape {list(found)}; wanted (any N, {wanted})")
