"""The device's model: what it accepts, that it computes what the world says, that bound arrays never change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from persona.device import DeviceModel
from persona.edit import Edit
from persona.errors import BundleError, DataError, EditError
from persona.sketch import SketchSpec, TapSpec
from tests.worlds import World, linear_graph, onnx_bytes

WORLD = World()


def test_the_graph_gives_what_the_world_says_with_and_without_an_edit() -> None:
    model = DeviceModel(WORLD.bundle)
    x, _ = WORLD.sample(1, 50, np.random.default_rng(0))
    edit = WORLD.edit(-1, 0.5)
    for weights, wanted in ((model.weights(None), None), (model.weights(edit), edit)):
        logits, moments = model.run(x, weights)
        np.testing.assert_allclose(logits, WORLD.logits(x, wanted), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(moments, WORLD.moments(x), rtol=1e-6)


def test_results_do_not_depend_on_the_size_of_the_batch() -> None:
    model = DeviceModel(WORLD.bundle)
    x, _ = WORLD.sample(1, 33, np.random.default_rng(0))
    weights = model.weights(WORLD.edit(1))
    whole, _ = model.run(x, weights)
    single = np.concatenate([model.run(x[i : i + 1], weights)[0] for i in range(len(x))])
    np.testing.assert_allclose(whole, single, rtol=1e-6, atol=1e-6)


def test_a_slice_that_is_not_contiguous_is_taken_for_what_it_is() -> None:
    model = DeviceModel(WORLD.bundle)
    x, _ = WORLD.sample(1, 20, np.random.default_rng(0))
    every_other, _ = model.run(x[::2], model.weights(None))
    np.testing.assert_allclose(every_other, WORLD.logits(x[::2]), rtol=1e-6)


def test_another_edit_is_another_set_and_leaves_the_first_as_it_was() -> None:
    model = DeviceModel(WORLD.bundle)
    x, _ = WORLD.sample(1, 5, np.random.default_rng(0))
    first = model.weights(WORLD.edit(1))
    before, _ = model.run(x, first)
    second = model.weights(WORLD.edit(-1))
    assert first.arrays["head.weight"] is not second.arrays["head.weight"]
    np.testing.assert_array_equal(model.run(x, first)[0], before)


def test_bound_arrays_cannot_be_written() -> None:
    model = DeviceModel(WORLD.bundle)
    for weights in (model.weights(None), model.weights(WORLD.edit(1))):
        with pytest.raises(ValueError, match="read-only"):
            weights.arrays["head.bias"][0] = 1.0


def test_the_bundles_own_weights_are_not_bound() -> None:
    bundle = replace(WORLD.bundle, weights={name: array.copy() for name, array in WORLD.base.items()})
    model = DeviceModel(bundle)
    x, _ = WORLD.sample(1, 5, np.random.default_rng(0))
    base = model.weights(None)
    bundle.weights["head.weight"][:] = 7.0
    np.testing.assert_allclose(model.run(x, base)[0], WORLD.logits(x), rtol=1e-6)


def test_an_edit_that_does_not_fit_is_refused() -> None:
    model = DeviceModel(WORLD.bundle)
    with pytest.raises(EditError, match=r"'head\.bias' is missing"):
        model.weights(Edit({"head.weight": np.zeros((2, 4))}))


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (np.zeros((3, 5), np.float32), r"shape \(3, 5\).*\(N, 4\)"),
        (np.zeros(4, np.float32), r"shape \(4,\).*\(N, 4\)"),
        (np.zeros((2, 4, 1), np.float32), r"shape \(2, 4, 1\).*\(N, 4\)"),
        (np.zeros((0, 4), np.float32), "N at least 1"),
        (np.zeros((2, 4)), "float64.*convert"),
        ([[0.0] * 4], "x is a list"),
    ],
)
def test_x_of_another_kind_is_refused_with_what_was_wanted(x: object, says: str) -> None:
    model = DeviceModel(WORLD.bundle)
    with pytest.raises(DataError, match=says):
        model.run(x, model.weights(None))  # type: ignore[arg-type]


def test_a_graph_with_a_weight_baked_in_is_refused() -> None:
    bundle = replace(WORLD.bundle, graph=linear_graph(4, {"head.bias": np.zeros(2, np.float32)}))
    with pytest.raises(BundleError, match=r"inputs \['head.weight', 'x'\].*head.bias"):
        DeviceModel(bundle)


def test_a_graph_of_another_width_is_refused() -> None:
    with pytest.raises(BundleError, match=r"'head.weight' of a bundle's graph has shape \[2, 5\].*\(2, 4\)"):
        DeviceModel(replace(WORLD.bundle, graph=linear_graph(5)))


def test_a_bundle_of_another_input_shape_is_refused() -> None:
    with pytest.raises(BundleError, match="'x'"):
        DeviceModel(replace(WORLD.bundle, input_shape=(2, 2)))


@pytest.mark.parametrize("graph", [b"", b"not a graph", linear_graph(4)[:-30]])
def test_bytes_that_onnxruntime_refuses_are_refused(graph: bytes) -> None:
    with pytest.raises(BundleError, match="export it anew"):
        DeviceModel(replace(WORLD.bundle, graph=graph))


def graph_with(x: list[int | str], logits: str = "logits", width: int = 8) -> bytes:
    """Return a graph that is right but for one thing."""
    from onnx import helper

    nodes = [
        helper.make_node("Gemm", ["x", "head.weight", "head.bias"], [logits], transB=1),
        helper.make_node("Concat", ["x"] * (width // 4), ["moments"], axis=1),
    ]
    inputs: dict[str, list[int | str]] = {"x": x, "head.weight": [2, 4], "head.bias": [2]}
    return onnx_bytes(inputs, {logits: ["N", 2], "moments": ["N", width]}, nodes, {})


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        (graph_with([1, 4]), "any N"),
        (graph_with(["N", 4], logits="scores"), r"outputs \['moments', 'scores'\]"),
        (graph_with(["N", 4], width=12), r"moments \(2, 12\)"),
    ],
)
def test_a_graph_with_wrong_ports_is_refused(graph: bytes, says: str) -> None:
    with pytest.raises(BundleError, match=says):
        DeviceModel(replace(WORLD.bundle, graph=graph))


def test_a_graph_with_other_classes_than_the_sketch_is_refused() -> None:
    sketch = SketchSpec.unscaled((TapSpec("input", 4, 1),), 6)
    bank = replace(WORLD.bank, map_weight=np.zeros((10, 2), np.float32))
    jump = replace(WORLD.bundle.jump, noise=np.ones(4, np.float32))
    graph = graph_with(["N", 4], width=4)
    with pytest.raises(BundleError, match=r"logits \(2, 2\).*C = 6"):
        DeviceModel(replace(WORLD.bundle, sketch=sketch, bank=bank, jump=jump, graph=graph))


def test_results_stay_as_they_are_while_the_model_runs_on() -> None:
    model, rng = DeviceModel(WORLD.bundle), np.random.default_rng(0)
    weights = model.weights(None)
    batches = [WORLD.sample(1, count, rng)[0] for count in (1, 7, 7, 32)]
    results = [model.run(x, weights) for x in batches]
    kept = [(logits.copy(), moments.copy()) for logits, moments in results]
    for x in reversed(batches):
        model.run(x, weights)
    for (logits, moments), (wanted_logits, wanted_moments) in zip(results, kept, strict=True):
        np.testing.assert_array_equal(logits, wanted_logits)
        np.testing.assert_array_equal(moments, wanted_moments)
