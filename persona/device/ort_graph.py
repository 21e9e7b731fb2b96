"""A graph in onnxruntime: editable weights are plain inputs, bound once to a run and used by many."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np
from onnxruntime import InferenceSession, IOBinding, OrtValue, SessionOptions

from persona.device.graph import OUTPUTS, Bound, Port
from persona.edit import Array
from persona.errors import BundleError

# Everything that goes wrong is raised; nothing is to be written to a device's stderr beside that.
_FATAL_ONLY = 4


class OrtGraph:
    """One session; see `persona.device.graph.Graph`."""

    def __init__(self, graph: bytes, threads: int = 1) -> None:
        """BundleError where onnxruntime refuses the graph."""
        self.session = open_session(graph, threads)
        self.inputs: Mapping[str, Port] = {port.name: (port.type, port.shape) for port in self.session.get_inputs()}
        self.outputs = tuple(port.name for port in self.session.get_outputs())

    def bind(self, arrays: Mapping[str, Array]) -> Bound:
        """Return the run under a set of weights."""
        return _BoundRun(self.session, arrays)


class _BoundRun:
    """Runs under one set of weights.

    An OrtValue aliases its array: writing into one tears the runs under way. So the arrays live as long as this, and
    other weights are another one of these. Feeding them anew to each run would cost a single sample a fifth.
    """

    def __init__(self, session: InferenceSession, arrays: Mapping[str, Array]) -> None:
        self._session = session
        self._arrays = arrays
        self._values = {name: OrtValue.ortvalue_from_numpy(array) for name, array in arrays.items()}
        # Bindings that have these values bound already, at rest; a run takes one, so each serves one thread at a time.
        self._at_rest: deque[IOBinding] = deque()

    def __call__(self, x: Array) -> tuple[Array, Array]:
        try:
            binding = self._at_rest.pop()
        except IndexError:  # none at rest
            binding = self._new_binding()
        binding.bind_cpu_input("x", np.ascontiguousarray(x))
        for name in OUTPUTS:
            binding.bind_output(name)
        self._session.run_with_iobinding(binding)
        logits, moments = binding.copy_outputs_to_cpu()
        self._at_rest.append(binding)
        return logits, moments

    def _new_binding(self) -> IOBinding:
        binding = self._session.io_binding()
        for name, value in self._values.items():
            binding.bind_ortvalue_input(name, value)
        return binding


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
