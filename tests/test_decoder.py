"""The decoder: worked by hand, bounded for every finite code, and refusing arrays that do not fit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from persona.decoder import Decoder, DensePart, KernelPart, Part
from persona.edit import Array, Edit
from persona.errors import SpecError, WireError
from persona.spec import LayerSpec, ModelSpec, TensorSpec
from tests.tiny_bundles import SPEC, floats, tiny_decoder

LARGEST = float(np.finfo(np.float32).max)
CODES = arrays(np.float32, (2, 2), elements=st.floats(width=32, allow_nan=False, allow_infinity=False))


def with_arrays(**changes: Array) -> dict[str, Array]:
    """Return the tiny decoder's arrays, some exchanged; dots and slashes are spelt as `_` and `__`."""
    names = {name.replace("/", "__").replace(".", "_"): name for name in tiny_decoder().to_arrays()}
    return {**tiny_decoder().to_arrays(), **{names[key]: value for key, value in changes.items()}}


def test_dense_by_hand() -> None:
    deltas = tiny_decoder().decode([[1, -1], [0, 0]]).deltas
    wanted = [0.5 * math.tanh(2), 0.5 * math.tanh(-2), 0.5 * math.tanh(0.25)]
    np.testing.assert_allclose(deltas["norm.scale"], wanted, rtol=1e-6)
    assert not deltas["head.weight"].any()


def test_kernel_by_hand() -> None:
    delta = tiny_decoder().decode([[0, 0], [1, -2]]).deltas["head.weight"]
    wanted = [[2 * math.tanh(u * v / 2) for v in (1, 2, 3)] for u in (1, -2)]
    np.testing.assert_allclose(delta, wanted, rtol=1e-6)


def test_a_kernel_of_rank_two_sums_two_products() -> None:
    """U(z) = [[z, 1], [0, z]], V = [[1, 0], [0, 1], [1, 1]], so U Vᵀ = [[z, 1, z + 1], [0, z, z]]."""
    part = KernelPart(
        floats([1, 0, 0, 1]), floats(0, 1, 0, 0), np.zeros((1, 6), np.float32), floats(1, 0, 0, 1, 1, 1), 2
    )
    assert part(np.array([3.0])).tolist() == [3, 1, 4, 0, 3, 3]


def test_the_zero_code_gives_only_the_bias() -> None:
    deltas = tiny_decoder().decode(np.zeros((2, 2))).deltas
    assert deltas["norm.scale"][:2].tolist() == [0, 0]
    assert deltas["norm.scale"][2] == pytest.approx(0.5 * math.tanh(0.25))


def test_one_shared_row_drives_every_layer() -> None:
    shared = Decoder(SPEC, tiny_decoder().parts, (1, 2))
    row = [0.3, -0.7]
    assert shared.decode([row]).distance(tiny_decoder().decode([row, row])) == 0


@given(CODES)
def test_an_edit_is_bounded_for_every_finite_code(code: Array) -> None:
    edit = tiny_decoder().decode(code).check(SPEC)
    for tensor in SPEC.tensors:
        assert np.abs(edit.deltas[tensor.name]).max() <= tensor.bound


def test_the_largest_numbers_there_are_still_decode() -> None:
    """Float32 products overflow here, and their differences are NaN: the decoder must not compute in it."""
    large = np.full((2, 2), LARGEST, np.float32)
    spec = ModelSpec((LayerSpec("head", "linear", (TensorSpec("w", (2, 2), 1e-3),)),))
    parts: list[Part] = [
        DensePart(np.concatenate([large, -large], axis=1), np.zeros(4, np.float32)),
        KernelPart(large, large[0], -large, large[0], 1),
    ]
    for part in parts:
        edit = Decoder(spec, {"w": part}, (1, 2)).decode(floats([LARGEST, -LARGEST]))
        edit.check(spec)


@pytest.mark.parametrize("shape", [(2,), (1, 2), (2, 3), (1, 2, 2), (3, 2)])
def test_a_code_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(WireError, match=r"a code has shape .*this bundle's decoder needs \(2, 2\)"):
        tiny_decoder().decode(np.zeros(shape))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_code_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(WireError, match="not finite; discard it and ask again"):
        tiny_decoder().decode(floats([0, value], [0, 0]))


@given(CODES)
def test_arrays_there_and_back(code: Array) -> None:
    again = Decoder.from_arrays(SPEC, (2, 2), tiny_decoder().to_arrays())
    assert again.decode(code).distance(tiny_decoder().decode(code)) == 0


def test_the_kinds_of_part_survive_the_arrays() -> None:
    again = Decoder.from_arrays(SPEC, (2, 2), tiny_decoder().to_arrays())
    assert {name: type(part) for name, part in again.parts.items()} == {
        "norm.scale": DensePart,
        "head.weight": KernelPart,
        "head.bias": DensePart,
    }


@pytest.mark.parametrize("shape", [(3, 2), (0, 2), (2, 0), (2, -1)])
def test_code_shapes_are_one_row_or_one_a_layer(shape: tuple[int, int]) -> None:
    with pytest.raises(SpecError, match=r"code has shape .*wanted \(1, d\) or \(2, d\)"):
        Decoder(SPEC, tiny_decoder().parts, shape)


@pytest.mark.parametrize("name", sorted(tiny_decoder().to_arrays()))
def test_a_missing_array_is_named(name: str) -> None:
    arrays_ = tiny_decoder().to_arrays()
    del arrays_[name]
    tensor = name.rpartition("/")[0]
    with pytest.raises(SpecError, match=rf"decoder array '{tensor}/.*' is missing; wanted weight and bias"):
        Decoder.from_arrays(SPEC, (2, 2), arrays_)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm_scale__weight": np.zeros((2, 4), np.float32)}, r"weight has shape \(2, 4\), wanted \(2, 3\)"),
        ({"norm_scale__bias": np.zeros((), np.float32)}, r"bias has shape \(\), wanted \(3,\)"),
        ({"head_weight__left": np.zeros((3, 2), np.float32)}, r"left has shape \(3, 2\), wanted \(2, 2\)"),
        ({"head_weight__left_bias": np.zeros(3, np.float32)}, "3 left entries do not divide over 2 rows"),
        ({"head_weight__left_bias": np.zeros(0, np.float32)}, "0 left entries do not divide over 2 rows"),
        ({"head_weight__right_bias": np.zeros(6, np.float32)}, r"right_bias has shape \(6,\), wanted \(3,\)"),
        ({"head_bias__bias": floats(0, math.nan)}, "bias has entries that are not finite"),
    ],
)
def test_arrays_that_do_not_fit_are_named(changes: dict[str, Array], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Decoder.from_arrays(SPEC, (2, 2), with_arrays(**changes))


def test_parts_and_spec_must_agree() -> None:
    parts = dict(tiny_decoder().parts)
    del parts["head.bias"]
    with pytest.raises(SpecError, match=r"parts for .*wanted \['head.bias', 'head.weight', 'norm.scale'\]"):
        Decoder(SPEC, parts, (2, 2))


def test_a_part_of_ones_own_is_refused() -> None:
    """A bundle can carry only the two kinds that every reader knows."""

    class Constant:
        def __call__(self, z: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Array:
            return floats(0, 0)

        def arrays(self) -> dict[str, Array]:
            return {}

    parts = {**tiny_decoder().parts, "head.bias": Constant()}
    with pytest.raises(SpecError, match=r"'head\.bias' is a Constant; wanted DensePart or KernelPart"):
        Decoder(SPEC, parts, (2, 2))  # type: ignore[arg-type]


def test_decoding_twice_gives_the_same_edit() -> None:
    code = floats([0.5, -0.25], [2, 1])
    first, second = (tiny_decoder().decode(code) for _ in range(2))
    assert first.to_bytes() == second.to_bytes()
    assert isinstance(first, Edit)
