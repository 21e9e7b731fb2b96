"""Bundle files that lie: each is refused by an error of the bundle family, or is another bundle and says so."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.numpy import load, save

from persona.bundle import Bundle, CloudHalf
from persona.container import pack
from persona.errors import BundleError, BundleVersionError
from persona.spec import LayerSpec, ModelSpec, TensorSpec
from tests.hostile.forging import (
    array_names,
    facts_of,
    header_of,
    honest,
    manifest_of,
    sealed,
    with_dtype,
    with_header,
    with_manifest,
    without_fact,
)
from tests.tiny_bundles import floats

HONEST = honest()
FINGERPRINT = Bundle.from_bytes(HONEST).fingerprint
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e300, 1e300) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


def refused(data: bytes, message: str = "bundle") -> None:
    """Assert that a bundle is refused, by an error that says why."""
    with pytest.raises(BundleError, match=message):
        Bundle.from_bytes(data)


def refused_or_another(data: bytes) -> None:
    """Assert that no altered file passes for the honest bundle; any exception outside the family is a failure."""
    try:
        bundle = Bundle.from_bytes(data)
    except BundleError:
        return
    if bundle.fingerprint == FINGERPRINT:  # a blank in the header for another: nothing that is read was altered
        assert bundle.to_bytes() == HONEST


def test_every_truncation_is_refused() -> None:
    for length in range(len(HONEST)):
        refused(HONEST[:length])


def test_more_bytes_than_the_header_tells_of_are_refused() -> None:
    for extra in (b"\0", b"more", HONEST):
        refused(HONEST + extra, "truncated or damaged .*fetch it again")


@pytest.mark.parametrize("mask", [0x01, 0x20, 0xFF])
def test_no_altered_byte_passes_unnoticed(mask: int) -> None:
    for index in range(len(HONEST)):
        altered = bytearray(HONEST)
        altered[index] ^= mask
        refused_or_another(bytes(altered))


def test_every_altered_byte_of_an_array_is_refused_by_name() -> None:
    header, start = header_of(HONEST), 8 + int.from_bytes(HONEST[:8], "little")
    for name in array_names():
        first, _ = header[name]["data_offsets"]
        altered = bytearray(HONEST)
        altered[start + first] ^= 0x10
        refused(bytes(altered), f"array '{name}' of a bundle was altered: its sha256 differs")


@given(st.binary(max_size=12), st.integers(0, len(HONEST)), st.integers(0, 40))
def test_no_splice_passes_unnoticed(inserted: bytes, index: int, removed: int) -> None:
    refused_or_another(HONEST[:index] + inserted + HONEST[index + removed :])


@given(st.binary(max_size=200))
def test_noise_is_refused(data: bytes) -> None:
    refused(data)
    refused(with_header(data))


LENGTH = int.from_bytes(HONEST[:8], "little")


@pytest.mark.parametrize(
    "length",
    [0, 1, LENGTH - 8, LENGTH - 1, LENGTH + 1, LENGTH + 8, len(HONEST) - 8, len(HONEST), 2**32, 2**63, 2**64 - 1],
)
def test_a_header_length_that_lies_is_refused(length: int) -> None:
    refused(length.to_bytes(8, "little") + HONEST[8:])


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"{" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"__metadata__":{"manifest":"{}"}}' + b" " * 1_000_000,
        b'{"__metadata__":{"manifest":7}}',
        b'{"__metadata__":["manifest"]}',
        b'{"__metadata__":{"manifest":"\\ud800"}}',
        b'{"__metadata__":{"manifest":"{\\"format\\":1,\\"kind\\":\\"\\ud800\\"}"}}',
        b'{"x":NaN}',
        b'{"x":' + b"9" * 10_000 + b"}",
    ],
)
def test_headers_that_are_no_headers_are_refused(header: bytes) -> None:
    refused(with_header(header))
    refused(with_header(header, b""))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "7",
        "{",
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"format":NaN}',
        '{"format":1e999}',
        '{"format":' + "9" * 10_000 + "}",
        '{"format":1,"kind":"device"}',
        '{"format":1,"kind":"device","sha256":[]}',
        '{"format":1,"kind":"device","sha256":{}}',
        '{"format":1,"kind":["device"],"sha256":{}}',
    ],
)
def test_manifests_that_are_no_manifests_are_refused(text: str) -> None:
    refused(with_manifest(text))


def test_a_key_that_stands_twice_is_refused_wherever_it_stands() -> None:
    text = header_of(HONEST)["__metadata__"]["manifest"]
    refused(with_manifest('{"kind":"cloud",' + text[1:]), "a key stands twice")
    refused(with_manifest(text.replace('"jump":{', '"jump":{"window":1,')), "a key stands twice")
    header = HONEST[8 : 8 + LENGTH].rstrip()
    refused(with_header(b'{"__metadata__":{"manifest":"{}"},' + header[1:]), "a key stands twice")
    entry = json.dumps(header_of(HONEST)["weights/head.bias"]).encode()
    refused(with_header(b'{"weights/head.bias":' + entry + b"," + header[1:]), "a key stands twice")


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_no_json_are_refused(constant: str) -> None:
    text = header_of(HONEST)["__metadata__"]["manifest"].replace('"threshold":2.5', f'"threshold":{constant}')
    refused(with_manifest(text), f"{constant} is not a JSON number")


def test_a_newer_format_is_told_from_damage() -> None:
    text = json.dumps({**manifest_of(HONEST), "format": 2, "kind": "of a later day"})
    with pytest.raises(BundleVersionError, match="format 2, this release reads up to 1; update persona-edge"):
        Bundle.from_bytes(with_manifest(text))


def test_hashes_that_lie_are_refused() -> None:
    manifest = manifest_of(HONEST)
    names = list(manifest["sha256"])
    swapped = {**manifest["sha256"], names[0]: manifest["sha256"][names[1]]}
    refused(with_manifest(json.dumps({**manifest, "sha256": swapped})), "was altered: its sha256 differs")
    fewer = {name: digest for name, digest in manifest["sha256"].items() if name != names[0]}
    refused(with_manifest(json.dumps({**manifest, "sha256": fewer})), "does not list the arrays that it holds")
    refused(with_manifest(json.dumps({**manifest, "sha256": dict.fromkeys(names)})), "was altered")


def test_the_same_bytes_under_another_shape_or_dtype_are_refused() -> None:
    whole = load(HONEST)
    text = header_of(HONEST)["__metadata__"]["manifest"]
    for changed in (whole["weights/head.weight"].reshape(3, 2), whole["weights/head.weight"].view(np.int32)):
        data = save({**whole, "weights/head.weight": changed}, metadata={"manifest": text})
        refused(data, "array 'weights/head.weight' of a bundle was altered")


@pytest.mark.parametrize("name", sorted(facts_of(HONEST)))
def test_a_missing_fact_is_named(name: str) -> None:
    refused(without_fact(name), f"a bundle lacks its '{name}'; export it anew")


@pytest.mark.parametrize("name", array_names())
def test_a_missing_array_is_refused(name: str) -> None:
    refused(sealed(arrays={name: None}), name.rpartition("/")[2])


@pytest.mark.parametrize("name", ["junk", "weights/other", "decoder/head.bias/left", "bank/medoids"])
def test_an_array_that_nothing_uses_is_refused(name: str) -> None:
    refused(sealed(arrays={name: floats(1)}), name.rpartition("/")[2])


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("name", array_names("float32"))
def test_floats_of_another_dtype_are_refused(name: str, dtype: str) -> None:
    refused(with_dtype(name, dtype), f"array '{name}' of a bundle is {dtype}; wanted float32")


@pytest.mark.parametrize(("name", "wanted"), [("graph.onnx", "uint8"), ("bank/counts", "int64")])
def test_whole_numbers_of_another_dtype_are_refused(name: str, wanted: str) -> None:
    for dtype in ("float32", "int32"):
        refused(with_dtype(name, dtype), f"array '{name}' of a bundle is {dtype}; wanted {wanted}")


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F4", "STRING", "OBJECT", ""])
def test_dtypes_that_numpy_lacks_are_refused(dtype: str) -> None:
    header = header_of(HONEST)
    header["weights/head.bias"]["dtype"] = dtype
    refused(with_header(json.dumps(header).encode()))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", array_names("float32"))
def test_one_entry_that_is_not_finite_is_refused(name: str, value: float) -> None:
    array = load(HONEST)[name].copy()
    array.flat[-1] = value
    refused(sealed(arrays={name: array}), "finite|positive")


@pytest.mark.parametrize("name", array_names())
def test_an_empty_array_is_refused(name: str) -> None:
    array = load(HONEST)[name]
    refused(sealed(arrays={name: array[:0]}), f"array '{name}' of a bundle is empty")


@pytest.mark.parametrize("name", ["jump/noise", "sketch/scale"])
def test_a_spread_of_zero_is_refused(name: str) -> None:
    refused(sealed(arrays={name: np.zeros_like(load(HONEST)[name])}), "positive")


def test_negative_counts_are_refused() -> None:
    refused(sealed(arrays={"bank/counts": np.array([5, -3])}), "counts -3 devices behind a prototype")


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"spec": []}, "no layers"),
        ({"spec": {}}, "no layers"),
        ({"spec": "spec"}, "malformed"),
        ({"code_shape": [1, 2]}, "decoder"),
        ({"code_shape": [2]}, "fit together"),
        ({"code_shape": [2, 10**18]}, "fit together"),
        ({"code_shape": None}, "fit together"),
        ({"sketch": {"taps": [{"name": "input", "channels": 10**30, "order": 2}], "n_classes": 2}}, "center"),
        ({"sketch": {"taps": [{"name": "input", "channels": 8, "order": 1}], "n_classes": 0}}, "first tap"),
        ({"sketch": {"taps": [{"name": "a", "channels": 5, "order": 2}], "n_classes": -2}}, "-2 classes"),
        ({"jump": {"threshold": -1, "window": 16}}, "threshold -1"),
        ({"jump": {"threshold": 1, "window": 0}}, "window 0"),
        ({"jump": {"threshold": 10**400, "window": 1}}, "fit together"),
        ({"jump": {"threshold": 1}}, "lacks its 'window'"),
        ({"jump": 3}, "fit together"),
        ({"bank_version": -1}, "version -1"),
        ({"bank_version": 70_000}, "version 70000"),
        ({"bank_version": "latest"}, "fit together"),
        ({"input_shape": [3, -1]}, "input has shape"),
        ({"input_shape": "3"}, None),
        ({"context": "thoughts"}, "'thoughts'"),
        ({"support": [0, 0]}, "support"),
        ({"support": [1, 2, 3]}, "fit together"),
        ({"about": 7}, "fit together"),
    ],
)
def test_facts_that_lie_are_refused(facts: dict[str, Any], message: str | None) -> None:
    if message is None:  # lenient where nothing is lost: "3" is read as (3,)
        refused_or_another(sealed(facts))
    else:
        refused(sealed(facts), message)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to every value within a JSON value."""
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places(inner, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a JSON value with the one at a path exchanged."""
    if not path:
        return new
    changed = copy.copy(value)
    changed[path[0]] = replaced(value[path[0]], path[1:], new)
    return changed


@given(st.sampled_from([path for path in places(facts_of(HONEST)) if path]), JSON)
def test_no_value_anywhere_in_the_manifest_crashes_the_reader(path: tuple[Any, ...], new: Any) -> None:
    refused_or_another(sealed(replaced(facts_of(HONEST), path, new)))


DTYPES = st.sampled_from([np.float32, np.float32, np.float32, np.int64, np.uint8])


@given(
    st.sampled_from(array_names()),
    DTYPES.flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))),
)
def test_no_array_crashes_the_reader(name: str, array: Any) -> None:
    refused_or_another(sealed(arrays={name: array}))


@pytest.mark.parametrize(
    "name", ["a/b", "../../etc/passwd", "/", "weights/w", "größe", "名前", "a b\n\0", "💾", "x" * 5000]
)
def test_odd_names_are_only_names(name: str) -> None:
    """Slashes and scripts of all lands travel; nothing of a name ever becomes a path."""
    spec = ModelSpec(
        (LayerSpec(name, "linear", (TensorSpec(name, (2,), 1.0), TensorSpec(f"{name}/weight", (2,), 1.0))),)
    )
    whole = {key: array for key, array in load(HONEST).items() if not key.startswith(("weights/", "decoder/"))}
    for tensor in spec.names:
        whole[f"weights/{tensor}"] = floats(1, 2)
        whole[f"decoder/{tensor}/weight"] = floats([1, 0], [0, 1])
        whole[f"decoder/{tensor}/bias"] = floats(0, 0)
    whole["bank/codes"] = whole["bank/codes"][:, :1]
    whole["bank/map_weight"] = whole["bank/map_weight"][:, :2]
    whole["bank/map_bias"] = whole["bank/map_bias"][:2]
    data = pack("device", {**facts_of(HONEST), "spec": spec.to_json(), "code_shape": [1, 2]}, whole)
    bundle = Bundle.from_bytes(data)
    assert bundle.spec == spec
    assert bundle.to_bytes() == data


@pytest.mark.parametrize(
    ("facts", "whole", "message"),
    [
        ({}, {"encoder.onnx": np.ones(3, np.uint8)}, "names device bundle None; wanted 64 hexadecimal digits"),
        ({"bundle": 7}, {"encoder.onnx": np.ones(3, np.uint8)}, "names device bundle 7"),
        ({"bundle": "AB" * 32}, {"encoder.onnx": np.ones(3, np.uint8)}, "wanted 64 hexadecimal digits"),
        ({"bundle": "ab" * 31}, {"encoder.onnx": np.ones(3, np.uint8)}, "wanted 64 hexadecimal digits"),
        ({"bundle": "ab" * 32}, {}, "holds .*wanted encoder.onnx alone"),
        ({"bundle": "ab" * 32}, {"encoder.onnx": np.ones(3, np.uint8), "x": floats(1)}, "wanted encoder.onnx alone"),
        ({"bundle": "ab" * 32}, {"encoder.onnx": floats(1)}, "is float32; wanted uint8"),
        ({"bundle": "ab" * 32}, {"encoder.onnx": np.ones(0, np.uint8)}, "is empty"),
    ],
)
def test_cloud_halves_that_lie_are_refused(facts: dict[str, Any], whole: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        CloudHalf.from_bytes(pack("cloud", facts, whole))


def test_every_altered_or_missing_byte_of_a_cloud_half_is_noticed() -> None:
    data = CloudHalf(b"an encoder", FINGERPRINT).to_bytes()
    for index in range(len(data)):
        with pytest.raises(BundleError):
            CloudHalf.from_bytes(data[:index])
        altered = bytearray(data)
        altered[index] ^= 0x01
        try:
            half = CloudHalf.from_bytes(bytes(altered))
        except BundleError:
            continue
        assert half.encoder == b"an encoder"
        assert half.bundle_fingerprint != FINGERPRINT or half.to_bytes() == data
