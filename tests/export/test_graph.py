"""An exported graph computes what torch does: edited and not, for one sample and for many."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from persona.backbones.cnn import cnn_bn, cnn_gn
from persona.edit import Edit
from persona.errors import ExportError
from persona.export.graph import IR_VERSION, bake, model_graph
from persona.model import EditableModel
from tests import nets

Arrays = Mapping[str, npt.NDArray[Any]]


def run(graph: bytes, feeds: Arrays) -> list[npt.NDArray[Any]]:
    """Return logits and moments."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(graph, options, ["CPUExecutionProvider"])
    return list(session.run(["logits", "moments"], dict(feeds)))


@dataclass(frozen=True)
class Exported:
    """A model, its graph and its base weights."""

    model: EditableModel
    graph: bytes

    @property
    def base(self) -> Arrays:
        return {name: value.numpy() for name, value in self.model.base_weights().items()}

    def edit(self, seed: int = 0) -> Edit:
        deltas = nets.random_deltas(self.model.spec, 1, seed)
        return Edit({name: delta[0].numpy() for name, delta in deltas.items()})

    def batch(self, count: int) -> npt.NDArray[Any]:
        rng = np.random.default_rng(count)
        return rng.normal(size=(count, *self.model.input_shape)).astype(np.float32)


def lived_in(net: nn.Module, grid: int = 0) -> EditableModel:
    """Return a backbone that has seen a few batches, with layers of every kind edited."""
    torch.manual_seed(0)
    for _ in range(3):
        net(torch.rand(16, 1, 20, 20) + 0.5)
    return EditableModel(net, ["conv2", "norm*", "head"], torch.zeros(2, 1, 20, 20), grid=grid).eval()


MODELS = {
    "cnn-bn": lambda: lived_in(cnn_bn()),
    "cnn-gn": lambda: lived_in(cnn_gn()),
    "no-norms": lambda: nets.editable(nets.PlainNet),
    "pictures": lambda: nets.editable(nets.PictureNet),
    "pictures-on-a-grid": lambda: lived_in(cnn_bn(), grid=5),
    "sequences": lambda: nets.editable(nets.SequenceNet),
}


@pytest.fixture(scope="module", params=MODELS)
def exported(request: pytest.FixtureRequest) -> Exported:
    model = MODELS[request.param]()
    return Exported(model, model_graph(model))


@pytest.mark.parametrize("count", [1, 2, 33])
@pytest.mark.parametrize("edited", [False, True], ids=["base", "edited"])
def test_torch_and_onnxruntime_agree(exported: Exported, edited: bool, count: int) -> None:
    x, edit = exported.batch(count), exported.edit()
    weights = edit.apply(exported.base) if edited else exported.base
    deltas = {name: torch.from_numpy(delta.copy())[None] for name, delta in edit.deltas.items()}
    with torch.no_grad():
        wanted = exported.model(torch.from_numpy(x), deltas if edited else None)
    for found, expected in zip(run(exported.graph, {"x": x, **weights}), wanted, strict=True):
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5, rtol=1e-5)


def test_inputs_and_outputs_are_those_agreed(exported: Exported) -> None:
    model = onnx.load_from_string(exported.graph)
    onnx.checker.check_model(model)
    assert model.ir_version == IR_VERSION
    shapes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in model.graph.input
    }
    assert list(shapes) == ["x", *exported.model.spec.names]
    assert shapes == {"x": (0, *exported.model.input_shape), **{t.name: t.shape for t in exported.model.spec.tensors}}
    assert [value.name for value in model.graph.output] == ["logits", "moments"]
    assert not {init.name for init in model.graph.initializer} & set(exported.model.spec.names)


def test_every_editable_tensor_has_a_say(exported: Exported) -> None:
    x, edit = exported.batch(4), exported.edit()
    before = run(exported.graph, {"x": x, **exported.base})[0]
    for name, delta in edit.deltas.items():
        after = run(exported.graph, {"x": x, **exported.base, name: exported.base[name] + delta})[0]
        assert np.abs(after - before).max() > 1e-6, name


def test_the_first_taps_moments_do_not_depend_on_the_edit(exported: Exported) -> None:
    x, width = exported.batch(4), exported.model.tap_specs[0].width
    base = run(exported.graph, {"x": x, **exported.base})[1]
    edited = run(exported.graph, {"x": x, **exported.edit().apply(exported.base)})[1]
    np.testing.assert_array_equal(edited[:, :width], base[:, :width])


@pytest.mark.parametrize("edited", [False, True], ids=["base", "edited"])
def test_a_baked_graph_is_the_graph_with_its_weights(exported: Exported, edited: bool) -> None:
    weights = exported.edit().apply(exported.base) if edited else exported.base
    baked = bake(exported.graph, weights)
    assert [value.name for value in onnx.load_from_string(baked).graph.input] == ["x"]
    x = exported.batch(5)
    for found, wanted in zip(run(baked, {"x": x}), run(exported.graph, {"x": x, **weights}), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6, rtol=1e-6)


class Discarding(nn.Module):
    """Calls a layer and throws its output away: (N, 4) → (N, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(4, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.spare(x)
        logits: Tensor = self.head(x)
        return logits


class Branching(nn.Module):
    """Looks at its input before it decides what to compute: (N, 4) → (N, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x if x.sum() > 0 else -x)
        return logits


def test_an_editable_tensor_without_influence_is_refused() -> None:
    model = EditableModel(Discarding(), ["*"], torch.randn(2, 4))
    with pytest.raises(ExportError, match=r"spare.weight, spare.bias has no influence on the outputs; leave it out"):
        model_graph(model)


def test_what_cannot_be_traced_is_refused_in_one_line_and_in_silence(
    capfd: pytest.CaptureFixture[str],
) -> None:
    model = EditableModel(Branching(), ["head"], torch.randn(2, 4)).train()
    model.module.get_submodule("head").eval()
    modes = [child.training for child in model.modules()]
    with pytest.raises(
        ExportError, match=r"cannot be exported to ONNX: .*data-dependent.*; see docs/adding.md"
    ) as caught:
        model_graph(model)
    assert len(str(caught.value).splitlines()) == 1
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == logging.NOTSET
    assert [child.training for child in model.modules()] == modes


def test_another_precision_than_float32_is_refused() -> None:
    model = EditableModel(nets.PlainNet().double(), ["head"], torch.randn(2, 6).double())
    with pytest.raises(ExportError, match=r"'head.weight' is torch.float64; devices edit in float32"):
        model_graph(model)


def test_a_graph_that_no_runtime_would_load_is_refused() -> None:
    """Torch traces a double layer behind a float32 one without a word."""

    class Mixed(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self[1](self[0](x.to(self[0].weight)))
            return logits

    model = EditableModel(Mixed(nn.Linear(4, 4).double(), nn.Linear(4, 3).double()), ["0"], torch.randn(2, 4))
    model.module.get_submodule("0").float()
    with pytest.raises(ExportError, match=r"the exported graph is not valid: .* inconsistent type"):
        model_graph(model)
