"""Encoders small enough to check by hand, for the tiny bundle: codes of shape (2, 2), 8 features or samples of 3.

The sketch encoder's code is the first four features, as they are. Feature 4 above 9 makes its run fail, feature 5 above
9 makes its code NaN, feature 6 above 9 makes it too large for float16: three requests that poison a batch.
The set encoder's code is the masked mean of the samples times `SET_WEIGHT`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FAILS, GIVES_NAN, GIVES_HUGE = 4, 5, 6
SET_WEIGHT = np.arange(12, dtype=np.float32).reshape(3, 4) / 8

_CODES = ("codes", ["B", 2, 2])


def sketch_encoder() -> bytes:
    nodes = [
        *_columns("first", 0, 4),
        _node("Reshape", ["first", "code_shape"], "plain"),
        # Index 9 is beyond the table: onnxruntime refuses the run.
        *_columns("fails", FAILS, FAILS + 1),
        _node("Cast", ["fails"], "index", to=TensorProto.INT64),
        _node("Gather", ["table", "index"], "looked_up"),
        # The logarithm of a negative number is NaN, and so is zero times it.
        *_columns("nan", GIVES_NAN, GIVES_NAN + 1),
        _node("Sub", ["nine", "nan"], "left"),
        _node("Log", ["left"], "log"),
        _node("Mul", ["log", "zero"], "nothing"),
        *_columns("huge", GIVES_HUGE, GIVES_HUGE + 1),
        _node("Sub", ["huge", "nine"], "beyond"),
        _node("Relu", ["beyond"], "over"),
        _node("Mul", ["over", "million"], "millions"),
        _node("Sum", ["looked_up", "nothing", "millions"], "extra"),
        _node("Unsqueeze", ["extra", "last"], "spread"),
        _node("Add", ["plain", "spread"], "codes"),
    ]
    constants = {
        "code_shape": np.array([-1, 2, 2]), "table": np.zeros(9, np.float32), "nine": np.float32(9),
        "zero": np.float32(0), "million": np.float32(1e6), "last": np.array([2]), **_edges(),
    }  # fmt: skip
    return graph([("features", ["B", 8])], [_CODES], nodes, constants)


def set_encoder() -> bytes:
    nodes = [
        _node("Unsqueeze", ["mask", "last"], "mask3"),
        _node("Mul", ["samples", "mask3"], "kept"),
        _node("ReduceSum", ["kept", "second"], "total", keepdims=0),
        _node("ReduceSum", ["mask", "second"], "count", keepdims=1),
        _node("Div", ["total", "count"], "mean"),
        _node("MatMul", ["mean", "weight"], "flat"),
        _node("Reshape", ["flat", "code_shape"], "codes"),
    ]
    constants = {
        "last": np.array([2]), "second": np.array([1]), "weight": SET_WEIGHT, "code_shape": np.array([-1, 2, 2])
    }  # fmt: skip
    return graph([("samples", ["B", "S", 3]), ("mask", ["B", "S"])], [_CODES], nodes, constants)


def mixing_encoder() -> bytes:
    """Return an encoder with the right ports that takes the mean over the batch from every code."""
    nodes = [
        *_columns("first", 0, 4),
        _node("ReduceMean", ["first", "axis0"], "mean", keepdims=1),
        _node("Sub", ["first", "mean"], "centred"),
        _node("Reshape", ["centred", "code_shape"], "codes"),
    ]
    constants = {"axis0": np.array([0]), "code_shape": np.array([-1, 2, 2]), **_edges()}
    return graph([("features", ["B", 8])], [_CODES], nodes, constants)


def doubling_encoder() -> bytes:
    """Return an encoder with the right ports that gives two codes to each request."""
    nodes = [
        *_columns("first", 0, 4),
        _node("Concat", ["first", "first"], "twice", axis=0),
        _node("Reshape", ["twice", "code_shape"], "codes"),
    ]
    return graph([("features", ["B", 8])], [_CODES], nodes, {"code_shape": np.array([-1, 2, 2]), **_edges()})


def reshaping_encoder(
    name: str = "features",
    rows: int | str = "B",
    width: int = 8,
    code: tuple[int, ...] = (2, 2),
    type_: int = TensorProto.FLOAT,
) -> bytes:
    """Return an encoder whose ports can be wrong in one way; its code is the first features."""
    size = int(np.prod(code))
    nodes = [
        _node("Slice", [name, "from0", "to", "axis1"], "first"),
        _node("Reshape", ["first", "code_shape"], "codes"),
    ]
    constants = {
        "from0": np.array([0]), "to": np.array([size]), "axis1": np.array([1]), "code_shape": np.array([-1, *code])
    }  # fmt: skip
    return graph([(name, [rows, width])], [("codes", [rows, *code])], nodes, constants, type_)


def graph(
    inputs: Sequence[tuple[str, list[int | str]]],
    outputs: Sequence[tuple[str, list[int | str]]],
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, Any],
    type_: int = TensorProto.FLOAT,
) -> bytes:
    content = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info(name, type_, shape) for name, shape in inputs],
        [helper.make_tensor_value_info(name, type_, shape) for name, shape in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(content, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], **attributes)


def _columns(output: str, start: int, stop: int) -> list[onnx.NodeProto]:
    return [_node("Slice", ["features", f"edge{start}", f"edge{stop}", "edge1"], output)]


def _edges() -> dict[str, Any]:
    return {f"edge{number}": np.array([number]) for number in range(9)}
