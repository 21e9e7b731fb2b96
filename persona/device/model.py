"""The model on the device: one onnxruntime session whose editable weights are plain inputs."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from onnxruntime import InferenceSession, IOBinding, OrtValue, SessionOptions

from persona.bundle import Bundle
from persona.edit import Array, Edit
from persona.errors import BundleError, DataError

_OUTPUTS = ["logits", "moments"]
_FLOAT32 = "tensor(float)"
# Everything that goes wrong is raised; nothing is to be written to a device's stderr beside that.
_FATAL_ONLY = 4


@dataclass(frozen=True)
class Weights:
    """One set of editable weights W + Δ, ready to be bound to a run.

    An OrtValue aliases its array: writing into one tears the runs under way. So the arrays are read-only and live as
    long as the set, and another edit is another set.
    """

    arrays: Mapping[str, Array]
    values: Mapping[str, OrtValue]
    # Bindings that have these values bound already, at rest; a run takes one, so each serves one thread at a time.
    bindings: deque[IOBinding] = field(default_factory=deque, compare=False, repr=False)


class DeviceModel:
    """The graph of a bundle. Many threads may call `run`, each with a set of weights of its choice."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        """Load the graph with `threads` threads a run and run it once on zeros.

        BundleError where onnxruntime refuses it, or its inputs and outputs are not those of the bundle.
        """
        self._bundle = bundle
        self.session = open_session(bundle.graph, threads)
        _check_inputs(self.session, bundle)
        outputs = {output.name for output in self.session.get_outputs()}
        if outputs != set(_OUTPUTS):
            raise BundleError(f"a bundle's graph has outputs {sorted(outputs)}; wanted {_OUTPUTS}: export it anew")
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
        return Weights(arrays, {name: OrtValue.ortvalue_from_numpy(array) for name, array in arrays.items()})

    def run(self, x: Array, weights: Weights) -> tuple[Array, Array]:
        """Return logits (N, C) and moments (N, M) of x (N, *input_shape) float32.

        DataError where x is something else; BundleError where the graph itself fails on it.
        """
        self._check_x(x)
        try:
            binding = weights.bindings.pop()
        except IndexError:  # none at rest
            binding = self.bind(weights)
        try:
            logits, moments = run_bound(self.session, binding, x)
        except Exception as error:  # onnxruntime's errors have no base class of their own
            raise BundleError(f"a bundle's graph fails on x of shape {x.shape}: {error}; export it anew") from error
        weights.bindings.append(binding)
        return logits, moments

    def bind(self, weights: Weights) -> IOBinding:
        """Return a binding with the weights bound: feeding them anew to each run costs a single sample a fifth."""
        binding = self.session.io_binding()
        for name, value in weights.values.items():
            binding.bind_ortvalue_input(name, value)
        return binding

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


def run_bound(session: InferenceSession, binding: IOBinding, x: Array) -> tuple[Array, Array]:
    """Return logits and moments of x; all other inputs of the graph are bound already."""
    binding.bind_cpu_input("x", np.ascontiguousarray(x))
    for name in _OUTPUTS:
        binding.bind_output(name)
    session.run_with_iobinding(binding)
    logits, moments = binding.copy_outputs_to_cpu()
    return logits, moments


def open_session(graph: bytes, threads: int = 1) -> InferenceSession:
    """Return a session of a graph, set up for a small process; BundleError where onnxruntime refuses it."""
    options = SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # An arena keeps the most that any run ever needed, and a pattern one plan for each batch size met; without both,
    # a run is as fast and the process stays small.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = _FATAL_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads sleep
    try:
        return InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no base class of their own
        raise BundleError(
            f"onnxruntime refuses a bundle's graph of {len(graph):,} bytes: {error}; export it anew"
        ) from error


def _check_inputs(session: InferenceSession, bundle: Bundle) -> None:
    found = {argument.name: argument for argument in session.get_inputs()}
    wanted = {"x", *bundle.spec.names}
    if found.keys() != wanted:
        raise BundleError(
            f"a bundle's graph has inputs {sorted(found)}; wanted x and its editable weights, {sorted(wanted)}: "
            "a pass over the graph may have baked weights in; export it anew"
        )
    for name, argument in found.items():
        if argument.type != _FLOAT32:
            raise BundleError(f"input {name!r} of a bundle's graph is {argument.type}; wanted {_FLOAT32}")
    for tensor in bundle.spec.tensors:
        if tuple(found[tensor.name].shape) != tensor.shape:
            raise BundleError(
                f"input {tensor.name!r} of a bundle's graph has shape {found[tensor.name].shape}; "
                f"its spec says {tensor.shape}"
            )
    _check_x_input(found["x"].shape, bundle.input_shape)


def _check_x_input(found: Sequence[int | str | None], wanted: tuple[int, ...]) -> None:
    """The first axis must take any N; the others fit where equal or free."""
    free_batch = bool(found) and not isinstance(found[0], int)
    fits = len(found) == len(wanted) + 1 and all(
        not isinstance(have, int) or have == want for have, want in zip(found[1:], wanted, strict=True)
    )
    if not (free_batch and fits):
        raise BundleError(f"input 'x' of a bundle's graph has shape {list(found)}; wanted (any N, {wanted})")
