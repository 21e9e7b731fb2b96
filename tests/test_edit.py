"""Edits: values that cannot change, that fit or are refused, and that lie in a metric space."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import save

from persona.edit import Array, Edit
from persona.errors import EditError
from tests.tiny_bundles import SPEC, floats, tiny_weights

ENTRIES = st.floats(-1e3, 1e3, width=32)


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    return Edit({t.name: draw(arrays(np.float32, t.shape, elements=ENTRIES)) for t in SPEC.tensors})


def changed(name: str, values: object) -> Edit:
    """Return the zero edit of the tiny model with one tensor exchanged."""
    return Edit({**Edit.zero(SPEC).deltas, name: floats(*np.asarray(values))})


def test_apply_adds_and_leaves_the_weights_alone() -> None:
    weights = tiny_weights()
    applied = changed("head.bias", [0.25, -0.25]).apply(weights)
    assert applied["head.bias"].tolist() == [0.25, -0.25]
    assert weights["head.bias"].tolist() == [0.0, 0.0]
    assert list(applied) == list(weights)


@given(edits())
def test_apply_returns_new_arrays(edit: Edit) -> None:
    weights = tiny_weights()
    applied = edit.apply(weights)
    for name, value in applied.items():
        assert not np.shares_memory(value, weights[name])
        assert not np.shares_memory(value, edit.deltas[name])
        np.testing.assert_array_equal(value, weights[name] + edit.deltas[name])


def test_apply_passes_other_tensors_on() -> None:
    weights = {**tiny_weights(), "frozen": floats(1, 2)}
    assert Edit.zero(SPEC).apply(weights)["frozen"] is weights["frozen"]


def test_apply_refuses_a_delta_without_a_weight() -> None:
    with pytest.raises(EditError, match=r"'head\.bias', which is not among the weights; they are norm\.scale"):
        Edit.zero(SPEC).apply({name: w for name, w in tiny_weights().items() if name != "head.bias"})


def test_apply_refuses_what_numpy_would_broadcast() -> None:
    with pytest.raises(EditError, match=r"'head\.weight' has shape \(3,\), its weight has \(2, 3\)"):
        Edit({"head.weight": floats(1, 2, 3)}).apply(tiny_weights())


def test_an_edit_copies_and_freezes() -> None:
    source = floats(1, 2)
    edit = Edit({"w": source})
    source[:] = 9
    assert edit.deltas["w"].tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        edit.deltas["w"][0] = 5
    with pytest.raises(TypeError):
        edit.deltas["w"] = source  # type: ignore[index]


@given(edits())
def test_every_way_to_make_an_edit_freezes_it(edit: Edit) -> None:
    for made in (edit, edit.scale(2), Edit.mean([edit, edit]), Edit.from_bytes(edit.to_bytes()), Edit.zero(SPEC)):
        assert not any(delta.flags.writeable for delta in made.deltas.values())
        assert {delta.dtype for delta in made.deltas.values()} == {np.dtype(np.float32)}


def test_size_in_bytes_is_four_an_entry() -> None:
    assert Edit.zero(SPEC).size_bytes == 4 * SPEC.size


@given(edits())
def test_scaling(edit: Edit) -> None:
    assert edit.scale(0).distance(Edit.zero(SPEC)) == 0
    assert edit.scale(1).distance(edit) == 0
    assert edit.scale(-2).scale(-0.5).distance(edit) == 0


def test_distance_by_hand() -> None:
    assert changed("norm.scale", [0, 3, 0]).distance(changed("head.bias", [0, 4])) == 5


@given(edits(), edits(), edits())
def test_distance_is_a_metric(a: Edit, b: Edit, c: Edit) -> None:
    assert a.distance(a) == 0
    assert a.distance(b) == b.distance(a) >= 0
    assert a.distance(c) <= a.distance(b) + b.distance(c) + 1e-6
    same = all(np.array_equal(a.deltas[name], b.deltas[name]) for name in SPEC.names)
    assert (a.distance(b) == 0) == same


@pytest.mark.parametrize("other", [Edit({"w": floats(1)}), Edit({"v": floats(1, 2)})])
def test_edits_of_different_models_have_neither_distance_nor_mean(other: Edit) -> None:
    edit = Edit({"w": floats(1, 2)})
    with pytest.raises(EditError, match="different models"):
        edit.distance(other)
    with pytest.raises(EditError, match="different models"):
        Edit.mean([edit, other])


def test_mean_by_hand() -> None:
    mean = Edit.mean([Edit({"w": floats(1, 2)}), Edit({"w": floats(3, -2)})])
    assert mean.deltas["w"].tolist() == [2, 0]
    with pytest.raises(EditError, match="at least one"):
        Edit.mean([])


@given(edits())
def test_bytes_there_and_back(edit: Edit) -> None:
    again = Edit.from_bytes(edit.to_bytes())
    assert again.to_bytes() == edit.to_bytes()
    assert again.distance(edit) == 0


@given(st.binary(max_size=64))
def test_bytes_that_are_no_edit_are_refused(data: bytes) -> None:
    with pytest.raises(EditError, match=f"an edit of {len(data)} bytes is not a safetensors container"):
        Edit.from_bytes(data)


def test_an_edit_in_another_dtype_is_refused() -> None:
    with pytest.raises(EditError, match="'w' is complex64; wanted float32"):
        Edit.from_bytes(save({"w": np.ones(2, np.complex64)}))


def test_check_returns_the_edit_itself() -> None:
    edit = Edit.zero(SPEC)
    assert edit.check(SPEC) is edit


def test_check_lets_rounding_pass_the_bound_and_no_more() -> None:
    changed("head.bias", [0.250_01, 0]).check(SPEC)
    with pytest.raises(EditError, match=r"'head\.bias' reaches 0\.2501, its bound is 0\.25; discard it"):
        changed("head.bias", [0, -0.2501]).check(SPEC)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_check_refuses_entries_that_are_not_finite(value: float) -> None:
    with pytest.raises(EditError, match=r"'norm\.scale' has entries that are not finite; discard it"):
        changed("norm.scale", [0, value, 0]).check(SPEC)


def test_check_names_the_first_tensor_that_does_not_fit() -> None:
    deltas: dict[str, Array] = dict(Edit.zero(SPEC).deltas)
    with pytest.raises(EditError, match=r"'other', which this model does not edit; it edits norm\.scale"):
        Edit({**deltas, "other": floats(1)}).check(SPEC)
    with pytest.raises(EditError, match=r"'norm\.scale' has shape \(2,\), this model needs \(3,\)"):
        changed("norm.scale", [0, 0]).check(SPEC)
    del deltas["head.bias"]
    with pytest.raises(EditError, match=r"'head\.bias' is missing; this model needs one of shape \(2,\)"):
        Edit(deltas).check(SPEC)
