"""Bundles that lie about renormalisation, gate or prior term, under hashes that are right: each is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.numpy import load

from persona.bundle import Bundle
from persona.container import pack
from persona.errors import BundleError
from tests.hostile.forging import facts_of
from tests.tiny_bundles import floats
from tests.tiny_parts import parts_bundle

HONEST = parts_bundle().to_bytes()
FINGERPRINT = Bundle.from_bytes(HONEST).fingerprint
WHOLE = load(HONEST)
NAMES = sorted(name for name in WHOLE if name.startswith(("renorm/", "gate/", "prior/")))
TABLE = WHOLE["renorm/norm"]


def sealed(changes: dict[str, Any]) -> bytes:
    """Return the honest bundle with arrays exchanged, and hashes that are right. None takes an array out."""
    return pack("device", facts_of(HONEST), {n: a for n, a in {**WHOLE, **changes}.items() if a is not None})


def refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        Bundle.from_bytes(sealed(changes))


def changed(row: int, column: int, value: float) -> Any:
    """Return the renormalisation's table with one number exchanged."""
    table = TABLE.copy()
    table[row, column] = value
    return table


def test_the_honest_bundle_is_read() -> None:
    assert NAMES == [
        "gate/center", "gate/directions", "gate/limits", "gate/spreads",
        "prior/b1", "prior/b2", "prior/b3", "prior/w1", "prior/w2", "prior/w3", "renorm/norm",
    ]  # fmt: skip
    assert Bundle.from_bytes(sealed({})).fingerprint == FINGERPRINT


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("renorm/")])
def test_a_missing_array_is_named(name: str) -> None:
    refused({name: None}, f"lacks the array '{name.rpartition('/')[2]}'")


@pytest.mark.parametrize("name", ["gate/other", "prior/w4", "prior/w1/extra"])
def test_an_array_that_nothing_uses_is_refused(name: str) -> None:
    refused({name: floats(1)}, f"has an array '{name}' that nothing in it uses")


@pytest.mark.parametrize("name", ["renorm/", "renorm/other", "renorm/norm/deep", "renorm/../norm"])
def test_a_renormalisation_of_what_is_not_there_is_refused(name: str) -> None:
    refused({name: TABLE}, r"has shape \(4, 3\); wanted \(4, 2\)")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", NAMES)
def test_one_entry_that_is_not_finite_is_refused_by_name(name: str, value: float) -> None:
    array = WHOLE[name].copy()
    array.flat[-1] = value  # of the renormalisation's table, this is padding
    refused({name: array}, f"array '{name}' of a bundle has entries that are not finite")


@pytest.mark.parametrize("name", NAMES)
def test_another_shape_is_refused(name: str) -> None:
    refused({name: WHOLE[name][None]}, "has shape")
    refused({name: np.concatenate([WHOLE[name]] * 2)}, "has shape")
    refused({name: WHOLE[name][:0]}, f"array '{name}' of a bundle is empty")


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "uint8"])
@pytest.mark.parametrize("name", NAMES)
def test_another_dtype_is_refused(name: str, dtype: str) -> None:
    refused({name: WHOLE[name].astype(dtype)}, f"array '{name}' of a bundle is {dtype}; wanted float32")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"renorm/norm": changed(1, 0, -1)}, "least variance -1"),
        ({"renorm/norm": changed(3, 0, 1.5)}, r"strength 1\.5"),
        ({"renorm/norm": changed(3, 0, -0.5)}, r"strength -0\.5"),
        ({"renorm/norm": changed(3, 1, 0)}, r"epsilon 0\.0"),
        ({"renorm/norm": changed(2, 0, 1e30)}, "another scale than its weight"),
        ({"gate/spreads": floats(0)}, "least spread 0"),
        ({"gate/limits": floats(1, 1, 2, 2)}, "the last limit above the one before"),
        ({"gate/limits": floats(-1, 1, 2, 4)}, "positive numbers"),
        ({"gate/center": floats(0), "gate/directions": floats([1])}, "gate reads 1 features, its sketch has 8"),
        ({"prior/b1": floats(0, 0)}, r"w1 has shape \(7, 1\); wanted \(7, 2\)"),
    ],
)
def test_numbers_that_lie_are_refused(changes: dict[str, Any], message: str) -> None:
    refused(changes, message)


@given(
    st.sampled_from(NAMES),
    arrays(np.float32, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=8), elements=st.floats(width=32)),
)
def test_no_array_crashes_the_reader(name: str, array: Any) -> None:
    data = sealed({name: array})
    try:
        bundle = Bundle.from_bytes(data)
    except BundleError:
        return
    assert bundle.fingerprint != FINGERPRINT or data == HONEST
