"""Specs: order, ownership, refusals, and JSON there and back."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona.errors import SpecError
from persona.spec import KINDS, LayerSpec, ModelSpec, TensorSpec
from tests.tiny_bundles import SPEC

NAMES = st.text(min_size=1, max_size=8)


@st.composite
def model_specs(draw: st.DrawFn) -> ModelSpec:
    names = iter(draw(st.lists(NAMES, min_size=9, max_size=9, unique=True)))
    shapes = st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple)
    bounds = st.floats(1e-6, 1e6)
    return ModelSpec(
        tuple(
            LayerSpec(
                draw(NAMES),
                draw(st.sampled_from(KINDS)),
                tuple(TensorSpec(next(names), draw(shapes), draw(bounds)) for _ in range(draw(st.integers(1, 3)))),
            )
            for _ in range(draw(st.integers(1, 3)))
        )
    )


def one_tensor(shape: tuple[int, ...] = (2,), bound: float = 1.0, name: str = "w") -> ModelSpec:
    return ModelSpec((LayerSpec("layer", "linear", (TensorSpec(name, shape, bound),)),))


def test_tensors_stand_in_the_order_of_the_layers() -> None:
    assert SPEC.names == ("norm.scale", "head.weight", "head.bias")
    assert [tensor.size for tensor in SPEC.tensors] == [3, 6, 2]
    assert SPEC.size == 11


def test_layer_of_names_the_owner() -> None:
    assert [SPEC.layer_of(name) for name in SPEC.names] == [0, 1, 1]
    with pytest.raises(SpecError, match=r"'head\.wait'.*there are norm\.scale, head\.weight, head\.bias"):
        SPEC.layer_of("head.wait")


@given(model_specs())
def test_json_there_and_back_is_the_identity(spec: ModelSpec) -> None:
    assert ModelSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_a_spec_needs_layers_and_layers_need_tensors() -> None:
    with pytest.raises(SpecError, match="no layers"):
        ModelSpec(())
    with pytest.raises(SpecError, match="layer 'norm' has no tensors"):
        ModelSpec((LayerSpec("norm", "norm", ()),))


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SpecError, match="'gru' is of kind 'recurrent'; wanted one of linear, conv, norm"):
        ModelSpec((LayerSpec("gru", "recurrent", (TensorSpec("w", (2,), 1.0),)),))


def test_a_tensor_may_be_edited_once() -> None:
    twice = tuple(LayerSpec(name, "linear", (TensorSpec("w", (2,), 1.0),)) for name in "ab")
    with pytest.raises(SpecError, match="'w' stands twice"):
        ModelSpec(twice)


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (2, -1)])
def test_empty_axes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(SpecError, match=r"'w' has shape .*wanted at least one axis, none empty"):
        one_tensor(shape)


@pytest.mark.parametrize("bound", [0.0, -1.0, math.nan, math.inf, 1e-45, 1e39])
def test_bounds_that_float32_cannot_hold_are_refused(bound: float) -> None:
    with pytest.raises(SpecError, match=r"'w' has bound .*wanted one from 1e-30 to 1e\+30"):
        one_tensor(bound=bound)


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(SpecError, match="empty name"):
        one_tensor(name="")


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        "layers",
        {"layers": []},
        [None],
        [{"name": "a", "kind": "linear"}],
        [{"name": "a", "kind": "linear", "tensors": [{"name": "w", "shape": 3, "bound": 1}]}],
        [{"name": "a", "kind": "linear", "tensors": [{"name": "w", "shape": ["x"], "bound": 1}]}],
        [{"name": "a", "kind": "linear", "tensors": [{"name": "w", "shape": [math.inf], "bound": 1}]}],
        [{"name": "a", "kind": "linear", "tensors": [{"name": "w", "shape": [2], "bound": 10**400}]}],
    ],
)
def test_malformed_json_is_a_spec_error(value: Any) -> None:
    with pytest.raises(SpecError, match=r"malformed .*wanted a list of layers"):
        ModelSpec.from_json(value)
