"""EditableModel → one ONNX graph whose editable weights are plain inputs; adapter → its encoder's graph.

Inputs of the model's graph: ``x`` (N, …) and one per editable tensor, under its own name. Outputs: ``logits`` (N, C)
and ``moments`` (N, M), from one pass. Base weights that may not be edited are constants of the graph.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from persona.adapters.persona import PersonaAdapter
from persona.errors import ExportError
from persona.model.editable import EditableModel
from persona.model.watching import in_eval_mode

# onnxruntime 1.31 refuses what onnx writes by default.
IR_VERSION = 10


class _ModelGraph(nn.Module):
    """The forward pass of a model as a function of a batch and a list of weights."""

    def __init__(self, model: EditableModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor]:
        logits, moments = self.model.with_weights(x, dict(zip(self.model.spec.names, weights, strict=True)))
        return logits, moments


class _EncoderGraph(nn.Module):
    """The forward pass from a context to codes."""

    def __init__(self, adapter: PersonaAdapter) -> None:
        super().__init__()
        self.adapter = adapter

    def forward(self, context: Tensor, mask: Tensor | None = None) -> Tensor:
        codes: Tensor = self.adapter.codes(context, mask)
        return codes


class _PairGraph(nn.Module):
    """The forward pass from a sketch and samples to codes."""

    def __init__(self, adapter: PersonaAdapter) -> None:
        super().__init__()
        self.adapter = adapter

    def forward(self, features: Tensor, samples: Tensor, mask: Tensor) -> Tensor:
        codes: Tensor = self.adapter.codes((features, samples), mask)
        return codes


def model_graph(model: EditableModel) -> bytes:
    """Return the model as an ONNX graph.

    ExportError where torch cannot trace it, an editable tensor is not float32 or has no influence on the outputs.
    """
    for name, value in model.base_weights().items():
        if value.dtype != torch.float32:
            raise ExportError(
                f"{name!r} is {value.dtype}; devices edit in float32: export a model made of module.float()"
            )
    if not model.input_dtype.is_floating_point:
        raise ExportError(
            f"the model reads {model.input_dtype}, but devices feed float32; turn indices into vectors outside the "
            "model, or take them as floats and round inside it"
        )
    x = torch.zeros(2, *model.input_shape)
    weights = list(model.base_weights().values())
    batch = {0: torch.export.Dim("N", min=1)}
    shapes = {"x": batch, "weights": [None] * len(weights)}
    with in_eval_mode(model):
        names = ["x", *model.spec.names]
        return to_onnx(_ModelGraph(model), (x, weights), shapes, names, ["logits", "moments"])


def encoder_graph(adapter: PersonaAdapter, n_features: int, input_shape: Sequence[int]) -> bytes:
    """Return the half of the adapter that stays in the cloud, from whichever context it reads to codes (B, n, d).

    Inputs: ``features`` (B, F), or ``samples`` (B, S, *input_shape) and ``mask`` (B, S), or all three. ExportError
    where torch cannot trace it.
    """
    batch = torch.export.Dim("B", min=1)
    with in_eval_mode(adapter):
        if adapter.context == "sketch":
            shapes: dict[str, Any] = {"context": {0: batch}, "mask": None}
            inputs: tuple[Any, ...] = (torch.zeros(2, n_features), None)
            return to_onnx(_EncoderGraph(adapter), inputs, shapes, ["features"], ["codes"])
        support = torch.export.Dim("S", min=1)
        if adapter.context == "both":
            shapes = {"features": {0: batch}, "samples": {0: batch, 1: support}, "mask": {0: batch, 1: support}}
            inputs = (torch.zeros(2, n_features), torch.zeros(2, 3, *input_shape), torch.ones(2, 3))
            return to_onnx(_PairGraph(adapter), inputs, shapes, list(shapes), ["codes"])
        shapes = {"context": {0: batch, 1: support}, "mask": {0: batch, 1: support}}
        inputs = (torch.zeros(2, 3, *input_shape), torch.ones(2, 3))
        return to_onnx(_EncoderGraph(adapter), inputs, shapes, ["samples", "mask"], ["codes"])


def bake(graph: bytes, weights: Mapping[str, Any]) -> bytes:
    """Return a model's graph with the weights as constants: what a device without edits would run."""
    proto = onnx.load_from_string(graph)
    for name, value in weights.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    kept = [value for value in proto.graph.input if value.name not in weights]
    del proto.graph.input[:]
    proto.graph.input.extend(kept)
    return bytes(proto.SerializeToString())


def to_onnx(
    module: nn.Module, inputs: tuple[Any, ...], shapes: dict[str, Any], names: list[str], outputs: list[str]
) -> bytes:
    """Return a module as an ONNX graph with inputs and outputs of these names, checked.

    `shapes` says which axes of the inputs are free, as `torch.export` takes it. ExportError where torch cannot trace
    the module, or an input has no influence.
    """
    try:
        with _quietly():
            program = torch.onnx.export(
                module, inputs, dynamo=True, dynamic_shapes=shapes, input_names=names, output_names=outputs,
                verbose=False,
            )  # fmt: skip
    except Exception as error:  # torch raises many kinds; each means the same here
        raise ExportError(
            f"the model cannot be exported to ONNX: {_root_of(error)}; see docs/adding.md for what can"
        ) from error
    if program is None:
        raise ExportError("torch returned no ONNX program")
    proto = program.model_proto
    proto.ir_version = IR_VERSION
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the exported graph is not valid: {_root_of(error)}; compute in float32") from error
    _check_inputs(proto, names)
    return bytes(proto.SerializeToString())


def _check_inputs(proto: onnx.ModelProto, names: list[str]) -> None:
    used = {name for node in proto.graph.node for name in node.input}
    idle = [name for name in names if name not in used]
    if idle:
        raise ExportError(f"{', '.join(idle)} has no influence on the outputs; leave it out of what may be edited")
    found = [value.name for value in proto.graph.input]
    if found != names:
        raise ExportError(f"the exported graph has the inputs {found}; wanted {names}")


def _root_of(error: BaseException) -> str:
    """Return what went wrong at first, in one line: torch wraps it in advice of its own."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep torch's exporter from writing its progress and its findings to the terminal: an ExportError tells them."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
