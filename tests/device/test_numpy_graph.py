"""torch = onnxruntime = numpy, on the same vectors: for whole nets, for the adapter's graph, for every operation."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from persona.adapters import PersonaAdapter, SketchEncoder
from persona.adapters.transfer import Transfer
from persona.backbones.cnn import cnn_bn, cnn_gn
from persona.backbones.mobilenet import mobilenet_v3_small
from persona.backbones.resnet import resnet_8, resnet_8_gn
from persona.device import Options, Runtime
from persona.device.numpy_graph import NumpyGraph
from persona.device.numpy_operations import OPERATIONS
from persona.device.onnx_file import read_onnx
from persona.errors import BundleError
from persona.export.graph import encoder_graph, model_graph
from persona.model import EditableModel
from tests.worlds import World

NETS: Mapping[str, tuple[Callable[[], torch.nn.Module], tuple[int, ...]]] = {
    "cnn-bn": (cnn_bn, (1, 28, 28)),
    "cnn-gn": (cnn_gn, (1, 28, 28)),
    "resnet-8": (resnet_8, (1, 28, 28)),
    "resnet-8-gn": (resnet_8_gn, (1, 28, 28)),
    "mobilenet-v3-small": (mobilenet_v3_small, (3, 64, 64)),
}


@pytest.mark.parametrize("net", ["cnn-bn", *(pytest.param(net, marks=pytest.mark.slow) for net in list(NETS)[1:])])
def test_torch_and_onnxruntime_and_numpy_agree_on_every_net_under_edited_weights(net: str) -> None:
    torch.manual_seed(0)
    make, shape = NETS[net]
    model = EditableModel(make().eval(), ("head",), torch.zeros(2, *shape))
    graph = model_graph(model)
    x = np.random.default_rng(0).random((3, *shape), np.float32)
    weights = {name: value + 0.1 * torch.randn(value.shape) for name, value in model.base_weights().items()}
    with torch.no_grad():
        wanted = [value.numpy() for value in model.with_weights(torch.from_numpy(x), weights)]
    feeds = {"x": x, **{name: value.numpy() for name, value in weights.items()}}
    found = NumpyGraph(graph).run(feeds)
    other = onnxruntime.InferenceSession(graph).run(["logits", "moments"], feeds)
    for name, a, b in zip(("logits", "moments"), wanted, other, strict=True):
        scale = np.abs(a).max()
        assert np.abs(found[name] - a).max() < 2e-5 * scale, "numpy against torch"
        assert np.abs(found[name] - b).max() < 2e-5 * scale, "numpy against onnxruntime"


TRANSFERS = ("autoregressive", "attention", "none")


@pytest.mark.parametrize("transfer", ["shared", *(pytest.param(one, marks=pytest.mark.slow) for one in TRANSFERS)])
def test_the_adapters_graph_runs_too(transfer: Transfer) -> None:
    torch.manual_seed(0)
    model = EditableModel(cnn_bn().eval(), ("norm*", "head"), torch.zeros(2, 1, 28, 28))
    adapter = PersonaAdapter(model.spec, SketchEncoder(model.n_features), transfer=transfer)
    graph = encoder_graph(adapter, model.n_features, model.input_shape)
    features = np.random.default_rng(0).normal(size=(3, model.n_features)).astype(np.float32)
    (wanted,) = onnxruntime.InferenceSession(graph).run(["codes"], {"features": features})
    assert np.allclose(NumpyGraph(graph).run({"features": features})["codes"], wanted, atol=1e-5)


@pytest.mark.slow
def test_a_recurrent_net_is_refused_by_the_name_of_what_is_missing() -> None:
    model = EditableModel(cnn_bn().eval(), ("norm*", "head"), torch.zeros(2, 1, 28, 28))
    adapter = PersonaAdapter(model.spec, SketchEncoder(model.n_features), transfer="stacked")
    with pytest.raises(BundleError, match="'GRU', which numpy does not run here"):
        NumpyGraph(encoder_graph(adapter, model.n_features, model.input_shape))


X = np.random.default_rng(3).normal(size=(2, 4, 6, 5)).astype(np.float32)
ROW = np.linspace(-4, 4, 9, dtype=np.float32)
FOUR = np.array([0.5, 1, 2, 3], np.float32)


@dataclass(frozen=True)
class Case:
    """One operation: its inputs in order, its attributes, how many outputs."""

    kind: str
    inputs: tuple[Any, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1


def _ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


KERNEL = np.random.default_rng(4).normal(size=(6, 4, 3, 2)).astype(np.float32)
CASES = [
    *(Case(kind, (X,)) for kind in ("Abs", "Exp", "HardSwish", "Identity", "Neg", "Relu", "Shape", "Sigmoid", "Tanh")),
    *(Case(kind, (np.abs(X) + 0.1,)) for kind in ("Log", "Reciprocal", "Sqrt")),
    *(Case(kind, (X, X[:, :1] + 3)) for kind in ("Add", "Div", "Greater", "Less", "Max", "Min", "Mul", "Sub")),
    Case("And", (X > 0, X < 1)),
    *(Case(kind, (np.array([1, np.inf, -np.inf, np.nan], np.float32),)) for kind in ("IsInf", "IsNaN", "Sign")),
    Case("AveragePool", (X,), {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}),
    Case("AveragePool", (X,), {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "count_include_pad": 1}),
    Case("MaxPool", (X,), {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}),
    Case("GlobalAveragePool", (X,)),
    Case("BatchNormalization", (X, FOUR, -FOUR, FOUR / 2, FOUR), {"epsilon": 1e-3}),
    Case("InstanceNormalization", (X, FOUR, -FOUR), {"epsilon": 1e-3}),
    Case("LayerNormalization", (X, np.ones(5, np.float32) * 2), {"axis": -1}),
    Case("LayerNormalization", (X, np.ones((6, 5), np.float32), np.ones((6, 5), np.float32)), {"axis": 2}),
    Case("Clip", (ROW, np.float32(-1), np.float32(2))),
    Case("Clip", (ROW, None, np.float32(2))),
    Case("Clip", (ROW,)),
    Case("Concat", (X, X * 2), {"axis": 1}),
    Case("Constant", (), {"value": FOUR}),
    Case("ConstantOfShape", (_ints(2, 3),), {"value": np.array([7], np.int64)}),
    Case("ConstantOfShape", (_ints(2, 3),)),
    Case("Conv", (X, KERNEL), {"strides": [2, 1], "pads": [1, 0, 2, 1]}),
    Case("Conv", (X, KERNEL[:, :2], np.arange(6, dtype=np.float32)), {"group": 2}),
    Case("Expand", (X[:, :1], _ints(4, 1, 5))),
    Case("Flatten", (X,)),
    Case("Flatten", (X,), {"axis": 2}),
    Case("Gather", (X, _ints(2, 0)), {"axis": 1}),
    Case("Gemm", (X[0, 0], X[0, 1], ROW[:6]), {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    Case("Gemm", (X[0, 0], X[0, 1]), {"transA": 1}),
    Case("HardSigmoid", (X,), {"alpha": 0.25, "beta": 0.4}),
    Case("MatMul", (X, X.transpose(0, 1, 3, 2))),
    Case("Pow", (X, np.float32(2))),
    Case("ReduceMean", (X, _ints(2, 3)), {"keepdims": 0}),
    Case("ReduceMean", (X,)),
    Case("ReduceSum", (X, _ints(-1))),
    Case("ReduceSum", (X,), {"noop_with_empty_axes": 1}),
    Case("Reshape", (X, _ints(0, -1, 3))),
    Case("Shape", (X,), {"start": 1, "end": -1}),
    Case("Slice", (X, _ints(1, 0), _ints(3, 100), _ints(1, 2), _ints(1, 2))),
    Case("Slice", (X, _ints(0, 1), _ints(1, 3))),
    Case("Softmax", (X,), {"axis": 1}),
    Case("Split", (X,), {"axis": 3, "num_outputs": 2}, outputs=2),
    Case("Split", (X, _ints(1, 3)), {"axis": 1}, outputs=2),
    Case("Squeeze", (X[:, :1], _ints(1))),
    Case("Squeeze", (X[:1, :1],)),
    Case("Transpose", (X,), {"perm": [2, 0, 3, 1]}),
    Case("Transpose", (X,)),
    Case("Unsqueeze", (X, _ints(0, -1))),
    Case("Where", (X > 0, X, np.float32(0.5))),
]


def model_of(case: Case) -> bytes:
    """Return a model of one operation, whose inputs are constants: numpy has to read those as well."""
    attributes = {k: numpy_helper.from_array(v) if isinstance(v, np.ndarray) else v for k, v in case.attributes.items()}
    names = [f"i{n}" if value is not None else "" for n, value in enumerate(case.inputs)]
    outputs = [f"o{n}" for n in range(case.outputs)]
    constants = [
        numpy_helper.from_array(np.asarray(v), name) for name, v in zip(names, case.inputs, strict=True) if name
    ]
    graph = helper.make_graph(
        [helper.make_node(case.kind, names, outputs, **attributes)],
        "one",
        [],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return bytes(onnx.shape_inference.infer_shapes(model).SerializeToString())


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind} {sorted(case.attributes)}")
def test_every_operation_is_onnxruntimes(case: Case) -> None:
    data = model_of(case)
    wanted = onnxruntime.InferenceSession(data).run(None, {})
    found = NumpyGraph(data).run({})
    for a, b in zip(found.values(), wanted, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        assert np.allclose(a, b, rtol=1e-5, atol=1e-5, equal_nan=True)


def test_every_operation_has_its_case() -> None:
    assert {case.kind for case in CASES} == OPERATIONS.keys()


def test_a_runtime_on_numpy_predicts_and_follows_as_one_on_onnxruntime() -> None:
    world = World()
    rng = np.random.default_rng(0)
    runtimes = [Runtime(world.bundle, options=Options(runs_on=how)) for how in ("onnxruntime", "numpy")]
    for domain in (1, -1, -1, 1):
        x, _ = world.sample(domain, 32, rng)
        first, second = (runtime.predict(x) for runtime in runtimes)
        assert np.allclose(first, second, atol=1e-5)
        assert runtimes[0].status().in_force == runtimes[1].status().in_force


def test_without_onnxruntime_numpy_takes_its_place_and_the_log_says_so() -> None:
    code = """
import sys, logging
sys.modules["onnxruntime"] = None
logging.basicConfig()
import numpy as np
from persona.device import DeviceModel
from persona.errors import BundleError
from tests.worlds import World
world = World()
x, _ = world.sample(1, 8, np.random.default_rng(0))
model = DeviceModel(world.bundle)
assert np.allclose(model.run(x, model.weights(world.edit(1)))[0], world.logits(x, world.edit(1)), atol=1e-5)
try:
    DeviceModel(world.bundle, runs_on="onnxruntime")
except BundleError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "onnxruntime is not installed" in done.stdout
    assert "this device runs on numpy" in done.stderr


def test_an_input_that_is_missing_and_shapes_that_do_not_fit_are_said() -> None:
    graph = NumpyGraph(World().bundle.graph)
    with pytest.raises(BundleError, match=r"needs the input 'head.bias'"):
        graph.run({"x": np.zeros((1, 4), np.float32), "head.weight": np.zeros((2, 4), np.float32)})
    with pytest.raises(BundleError, match="Gemm of a graph fails"):
        graph.run({"x": np.zeros((1, 5), np.float32), **World().base})


@pytest.mark.parametrize(
    ("attributes", "said"), [({"dilations": [2, 2]}, "dilation"), ({"auto_pad": "SAME_UPPER"}, "padding by name")]
)
def test_what_convolutions_do_not_do_here_is_said(attributes: dict[str, Any], said: str) -> None:
    with pytest.raises(BundleError, match=said):
        NumpyGraph(model_of(Case("Conv", (X, KERNEL), attributes))).run({})


GRAPH = World().bundle.graph


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(GRAPH) - 1), st.integers(1, 255), st.booleans())
def test_a_damaged_file_is_a_bundle_error_or_another_graph(at: int, change: int, cut: bool) -> None:
    data = GRAPH[:at] if cut else GRAPH[:at] + bytes([GRAPH[at] ^ change]) + GRAPH[at + 1 :]
    try:
        NumpyGraph(data)
    except BundleError:
        return


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_onnx_file_are_a_bundle_error(data: bytes) -> None:
    try:
        read_onnx(data)
    except BundleError:
        return


def test_numbers_one_by_one_and_tensors_elsewhere() -> None:
    tensor = helper.make_tensor("t", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    whole = helper.make_tensor("n", TensorProto.INT64, [2], [-1, 5])
    graph = helper.make_graph([helper.make_node("Identity", ["t"], ["o"])], "g", [], [], [tensor, whole])
    found = read_onnx(helper.make_model(graph).SerializeToString())
    assert found.constants["t"].tolist() == [1, 2, 3]
    assert found.constants["n"].tolist() == [-1, 5]
    outside = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[1])
    outside.external_data.add(key="location", value="weights.bin")
    graph = helper.make_graph([helper.make_node("Identity", ["t"], ["o"])], "g", [], [], [outside])
    with pytest.raises(BundleError, match="another file"):
        read_onnx(helper.make_model(graph).SerializeToString())


# 2 ** 40 where bytes are wanted: as an input of a node, as the raw values of a constant.
@pytest.mark.parametrize("field", [b"\x0a\x07\x08", b"\x2a\x07\x48"], ids=["a name", "raw values"])
def test_a_number_where_bytes_are_wanted_takes_no_memory(field: bytes) -> None:
    graph = field + b"\x80\x80\x80\x80\x80\x20"
    with pytest.raises(BundleError, match="not an ONNX file"):
        read_onnx(b"\x3a" + bytes([len(graph)]) + graph)
