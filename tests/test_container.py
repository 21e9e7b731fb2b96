"""The container: what goes in comes out, its fingerprint is stable, and its kind and format are told apart."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import save

from persona.container import FORMAT, SIZE_LIMIT_BYTES, pack, unpack
from persona.errors import BundleError, BundleVersionError
from tests.tiny_bundles import floats

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e300, 1e300) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
RESERVED = {"format", "kind", "sha256"}
FACTS = st.dictionaries(st.text().filter(lambda key: key not in RESERVED), JSON, max_size=4)
ARRAYS = st.dictionaries(
    st.text(min_size=1).filter(lambda name: name != "__metadata__"),
    st.sampled_from([np.float32, np.uint8, np.int64]).flatmap(lambda t: arrays(t, (2, 3))),
    max_size=3,
)


@given(FACTS, ARRAYS)
def test_what_goes_in_comes_out(facts: dict[str, Any], whole: dict[str, Any]) -> None:
    data = pack("thing", facts, whole)
    manifest, found, fingerprint = unpack("thing", data)
    assert {key: value for key, value in manifest.items() if key not in RESERVED} == facts
    assert found.keys() == whole.keys()
    for name, array in whole.items():
        assert found[name].dtype == array.dtype
        assert found[name].tobytes() == array.tobytes()
    assert unpack("thing", pack("thing", dict(reversed(facts.items())), whole))[2] == fingerprint


def test_layout_by_hand() -> None:
    """Eight bytes of length, a JSON header with the manifest, then the arrays' bytes as they are."""
    data = pack("thing", {"b": 1, "a": "é"}, {"x": floats(1, 2)})
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    digest = hashlib.sha256(b"<f4(2,)" + floats(1, 2).tobytes()).hexdigest()
    text = f'{{"a":"\\u00e9","b":1,"format":1,"kind":"thing","sha256":{{"x":"{digest}"}}}}'
    assert header["__metadata__"] == {"manifest": text}
    assert header["x"] == {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    assert data[8 + length :] == floats(1, 2).tobytes()
    assert unpack("thing", data)[2] == hashlib.sha256(text.encode()).hexdigest()


def test_the_fingerprint_follows_every_part() -> None:
    """Facts, kind, names, values, dtypes and shapes each change it."""
    variants = [
        pack("thing", {"a": 1}, {"x": floats(1, 2)}),
        pack("thing", {"a": 2}, {"x": floats(1, 2)}),
        pack("thing", {"a": 1}, {"y": floats(1, 2)}),
        pack("thing", {"a": 1}, {"x": floats(1, 3)}),
        pack("thing", {"a": 1}, {"x": floats([1], [2])}),
        pack("thing", {"a": 1}, {"x": floats(1, 2).view(np.int32)}),
    ]
    assert len({unpack("thing", data)[2] for data in variants}) == len(variants)


def test_a_view_is_packed_by_its_values() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert pack("thing", {}, {"x": array.T}) == pack("thing", {}, {"x": array.T.copy()})


@pytest.mark.parametrize("facts", [{"a": math.nan}, {"a": [math.inf]}, {"a": b"bytes"}, {"a": floats(1)}])
def test_facts_that_json_cannot_say_are_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match=r"a thing bundle's facts cannot be said in JSON .*use plain, finite values"):
        pack("thing", facts, {})


def test_another_kind_is_refused() -> None:
    with pytest.raises(BundleError, match="this file is a 'cloud' bundle; wanted a 'device' one: give the other"):
        unpack("device", pack("cloud", {}, {}))


def test_a_newer_format_asks_for_an_update() -> None:
    newer = save({}, metadata={"manifest": json.dumps({"format": FORMAT + 1, "whatever": "it brings"})})
    with pytest.raises(BundleVersionError, match="has format 2, this release reads up to 1; update persona-edge"):
        unpack("device", newer)


@pytest.mark.parametrize("found", [None, "1", 0, -1, 1.0, True, [1]])
def test_a_format_that_is_no_number_is_refused(found: Any) -> None:
    data = save({}, metadata={"manifest": json.dumps({"format": found, "kind": "device", "sha256": {}})})
    with pytest.raises(BundleError, match=r"names format .*wanted a whole number up to 1"):
        unpack("device", data)


def test_a_plain_safetensors_file_is_no_bundle() -> None:
    with pytest.raises(BundleError, match=r"without a manifest is not a bundle; `persona export` writes bundles"):
        unpack("device", save({"x": floats(1)}))


def test_too_many_bytes_are_refused_before_they_are_read() -> None:
    with pytest.raises(BundleError, match=r"a bundle is 536,870,913 bytes; the limit is 536,870,912"):
        unpack("device", bytes(SIZE_LIMIT_BYTES + 1))
