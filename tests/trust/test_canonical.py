"""Canonical JSON: byte for byte what securesystemslib writes, and nothing that has two readings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical

from persona.errors import TrustError
from persona.trust.canonical import canonical, parse

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_it_is_what_securesystemslib_writes(value: Any) -> None:
    assert canonical(value).decode() == encode_canonical(value)


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_what_json_says_is_read_back(value: dict[str, Any]) -> None:
    data = json.dumps(value).encode()
    assert canonical(parse(data, 1 << 20, "a value")) == canonical(value)


@pytest.mark.parametrize("value", [1.5, {1: 2}, b"x", {"a": {1}}, "\ud800"])
def test_what_it_lacks_is_not_written(value: Any) -> None:
    with pytest.raises(TrustError):
        canonical(value)


def test_a_nest_without_end_is_not_written() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(TrustError, match="cannot be written"):
        canonical(value)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"7", b"{", b"\xff{}", b'{"a":1.5}', b'{"a":1e3}', b'{"a":NaN}',
        b'{"a":Infinity}', b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}', b"[" * 100_000, b'{"a":' * 100_000, b'{"a":' + b"9" * 10_000 + b"}", b"{}" + b" " * 99,
    ],
)  # fmt: skip
def test_what_is_no_object_of_whole_numbers_is_refused(data: bytes) -> None:
    with pytest.raises(TrustError):
        parse(data, 100_000 if len(data) > 200 else 90, "a value")
