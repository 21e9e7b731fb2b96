"""Banks: the nearest prototype by brute force, residuals that add up, and refusals."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from persona.bank import MAX_PROTOTYPES, Bank
from persona.bundle import Bundle
from persona.edit import Array
from persona.errors import SpecError, WireError
from tests.tiny_bundles import floats, tiny_bank, tiny_bundle

# Dyadic numbers of few digits: every square and sum is exact, and so are ties.
DYADIC = st.integers(-16, 16).map(lambda n: n / 4)


def bank_of(codes: Array) -> Bank:
    """Return a bank whose map reads the code itself."""
    width = math.prod(codes.shape[1:])
    return Bank(codes, np.ones(len(codes), np.int64), np.eye(width, dtype=np.float32), np.zeros(width, np.float32))


@st.composite
def banks_and_codes(draw: st.DrawFn) -> tuple[Bank, Array]:
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    size = st.integers(1, 8)
    centres = draw(arrays(np.float32, (draw(size), *shape), elements=DYADIC))
    return bank_of(centres), draw(arrays(np.float32, (draw(size), *shape), elements=DYADIC))


def brute_force(bank: Bank, codes: Array) -> list[int]:
    """Return the first of the nearest centres, by Euclidean distance written out."""
    return [int(np.argmin([np.sum((code - centre) ** 2) for centre in bank.codes])) for code in codes]


@given(banks_and_codes())
def test_assign_is_the_nearest_and_the_first_of_equals(drawn: tuple[Bank, Array]) -> None:
    bank, codes = drawn
    assert bank.assign(codes).tolist() == brute_force(bank, codes)


def test_an_exact_tie_goes_to_the_first() -> None:
    bank = bank_of(floats([[1, 0]], [[0, 1]], [[0, 1]]))
    assert bank.assign(floats([[0.5, 0.5]], [[0, 2]], [[0, 0]])).tolist() == [0, 1, 0]


def test_assign_is_the_nearest_for_rounded_numbers_too() -> None:
    rng = np.random.default_rng(0)
    bank = bank_of(rng.normal(size=(64, 3, 8)).astype(np.float32))
    codes = rng.normal(size=(500, 3, 8)).astype(np.float32)
    assert bank.assign(codes).tolist() == brute_force(bank, codes)


def test_one_code_is_a_batch_of_one() -> None:
    bank = tiny_bank()
    assert bank.assign(bank.codes[1]).tolist() == [1]
    assert bank.assign(np.zeros((0, 2, 2))).tolist() == []


def test_the_largest_codes_do_not_overflow() -> None:
    largest = float(np.finfo(np.float32).max)
    bank = bank_of(floats([[largest, 0]], [[0, largest]]))
    assert bank.assign(floats([[largest, -largest]], [[0, largest]])).tolist() == [0, 1]


@pytest.mark.parametrize("shape", [(4,), (2,), (1, 4), (2, 4), (3, 1, 4), (1, 3, 2, 2), ()])
def test_codes_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    """Some of them have as many entries as a code, and must not be read as one."""
    with pytest.raises(WireError, match="this bank needs"):
        tiny_bank().assign(np.zeros(shape))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_codes_that_are_not_finite_have_no_prototype(value: float) -> None:
    with pytest.raises(WireError, match="not finite; discard them and ask again"):
        tiny_bank().assign(floats([0, 0], [value, 0]))


@given(banks_and_codes())
def test_prototype_and_residual_make_the_code(drawn: tuple[Bank, Array]) -> None:
    bank, codes = drawn
    for code, k in zip(codes, bank.assign(codes), strict=True):
        assert np.array_equal(bank.compose(int(k), bank.residual(code, int(k))), code)
        assert np.array_equal(bank.compose(int(k)), bank.codes[k])


def test_compose_does_not_hand_out_the_banks_own_memory() -> None:
    bank = tiny_bank()
    bank.compose(0)[:] = 99
    assert bank.codes.max() == 1


@pytest.mark.parametrize("k", [-1, 2, 65535])
def test_an_unknown_prototype_is_refused(k: int) -> None:
    with pytest.raises(WireError, match=rf"prototype {k} is unknown; this bank has 0\.\.1 \(version 7\)"):
        tiny_bank().compose(k)


def test_a_residual_that_numpy_would_broadcast_is_refused() -> None:
    with pytest.raises(WireError, match=r"a residual has shape \(1, 2\), a code of this bank \(2, 2\)"):
        tiny_bank().compose(0, floats([1, 1]))


def test_nearest_goes_through_the_linear_map() -> None:
    bank = tiny_bank()
    assert bank.nearest(floats(1, -1, -1, 1, 9, 9, 9, 9)) == 0
    assert bank.nearest(floats(-1, 1, 1, -1, 9, 9, 9, 9)) == 1


def test_length_and_code_shape() -> None:
    assert (len(tiny_bank()), tiny_bank().code_shape) == (2, (2, 2))


def test_arrays_there_and_back() -> None:
    bank = tiny_bank()
    again = Bank.from_arrays(bank.to_arrays(), bank.version)
    assert again.version == 7
    for name, array in bank.to_arrays().items():
        np.testing.assert_array_equal(again.to_arrays()[name], array)


SKEWED = floats([2, 0.5], [0.5, 1])


def skewed(codes: Array) -> Bank:
    return replace(bank_of(codes), metric=SKEWED)


@given(arrays(np.float32, (5, 1, 2), elements=DYADIC), arrays(np.float32, (4, 1, 2), elements=DYADIC))
def test_under_a_metric_the_nearest_is_the_nearest_of_transformed_codes(centres: Array, codes: Array) -> None:
    plain = bank_of(centres @ SKEWED)
    assert skewed(centres).assign(codes).tolist() == plain.assign(codes @ SKEWED).tolist()


def test_distances_by_hand() -> None:
    bank = bank_of(floats([[0, 0]], [[3, 4]]))
    assert bank.distances(bank.codes, [0]).tolist() == [0, 5]
    assert bank.distances(bank.codes, [1, 0]).tolist() == [5, 5]
    assert skewed(bank.codes).distances(floats([[2, 0]]), [0]).tolist() == [math.hypot(4, 1)]
    with pytest.raises(WireError, match=r"prototype 2 is unknown; this bank has 0\.\.1"):
        bank.distances(bank.codes, [0, 2])


def test_a_metric_travels_with_its_bundle_and_none_leaves_no_trace() -> None:
    metric = np.diag([1, 2, 3, 4]).astype(np.float32)
    bundle = tiny_bundle()
    sent = replace(bundle, bank=replace(bundle.bank, metric=metric))
    again = Bundle.from_bytes(sent.to_bytes()).bank
    assert again.metric is not None
    assert again.metric.tolist() == metric.tolist()
    assert Bundle.from_bytes(bundle.to_bytes()).bank.metric is None
    assert b"bank/metric" not in bundle.to_bytes()


def test_a_device_moves_only_for_a_clear_gain() -> None:
    bank = bank_of(floats([[0, 0]], [[10, 0]]))
    for x, current, wanted in ((4, None, 0), (6, None, 1), (6, 0, 0), (7, 0, 1), (4, 1, 1), (3, 1, 0), (5, 1, 1)):
        assert bank.keep_or_move(floats([x, 0]), current, 0.5) == wanted
    assert bank.keep_or_move(floats([5, 0]), 1, 0) == 1
    with pytest.raises(WireError, match="prototype 2 is unknown"):
        bank.keep_or_move(floats([5, 0]), 2, 0.5)
    with pytest.raises(SpecError, match=r"margin is 1; wanted a share from 0, less than 1"):
        bank.keep_or_move(floats([5, 0]), 1, 1)


@given(st.data(), st.floats(0.05, 0.9), st.booleans())
def test_a_device_does_not_flap_under_noise_below_the_margin(data: st.DataObject, margin: float, bent: bool) -> None:
    """Having left a prototype at distance r, it does not come back for a code that is nearer than margin · r."""
    centres = data.draw(arrays(np.float32, (4, 1, 2), elements=DYADIC, unique=True))
    bank = skewed(centres) if bent else bank_of(centres)
    code = data.draw(arrays(np.float32, (1, 2), elements=DYADIC))
    old = data.draw(st.integers(0, 3))
    new = bank.keep_or_move(code, old, margin)
    assume(new != old)
    noise = data.draw(arrays(np.float64, (1, 2), elements=st.floats(-1, 1)))
    size = np.linalg.norm(noise @ SKEWED if bent else noise)
    assume(size > 1e-3)
    radius = bank.distances(code, [old])[0]
    shaken = code + noise / size * radius * margin * data.draw(st.floats(0, 0.999))
    assert bank.keep_or_move(shaken, new, margin) != old


@given(arrays(np.float32, (6, 1, 2), elements=DYADIC), arrays(np.float32, (1, 2), elements=DYADIC), st.integers(0, 5))
def test_a_steady_code_moves_a_device_once_at_most(centres: Array, code: Array, current: int) -> None:
    bank = bank_of(centres)
    moved = bank.keep_or_move(code, current, 0.1)
    assert bank.keep_or_move(code, moved, 0.1) == moved


@pytest.mark.parametrize("name", sorted(tiny_bank().to_arrays()))
def test_a_missing_array_is_named(name: str) -> None:
    arrays_ = tiny_bank().to_arrays()
    del arrays_[name]
    with pytest.raises(SpecError, match=f"a bank lacks the array '{name}'"):
        Bank.from_arrays(arrays_, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codes": floats(1, 2)}, r"codes have shape \(2,\); wanted \(K, n, d\)"),
        ({"codes": np.float32(1)}, r"codes have shape \(\)"),
        ({"codes": np.zeros((0, 2, 2), np.float32)}, r"codes have shape \(0, 2, 2\)"),
        ({"codes": np.zeros((2, 0, 2), np.float32)}, r"codes have shape \(2, 0, 2\)"),
        ({"codes": np.zeros((MAX_PROTOTYPES + 1, 1, 1), np.float32)}, r"K in 1\.\.65535"),
        ({"counts": np.array([1])}, r"counts \(1,\).*wanted \(2,\), \(F, 4\), \(4,\)"),
        ({"counts": np.array([1, -1])}, "counts -1 devices behind a prototype; wanted 0 or more"),
        ({"map_weight": np.zeros((8, 3), np.float32)}, r"map \(8, 3\)"),
        ({"map_weight": np.zeros(4, np.float32)}, r"map \(4,\)"),
        ({"map_bias": np.zeros(3, np.float32)}, r"bias \(3,\)"),
        ({"map_bias": floats(0, 0, 0, math.nan)}, "not finite"),
        ({"codes": floats([[1, 1], [1, math.inf]], [[0, 0], [0, 0]])}, "not finite"),
        ({"metric": np.eye(3, dtype=np.float32)}, r"metric has shape \(3, 3\); its codes need \(4, 4\)"),
        ({"metric": np.full((4, 4), math.inf, np.float32)}, "not finite in codes, map, bias or metric"),
        ({"version": -1}, r"version -1; wanted 0\.\.65535"),
        ({"version": 65536}, "version 65536"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Bank(**{**tiny_bank().to_arrays(), "version": 1, **changes})
