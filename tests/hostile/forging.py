"""Bundles that lie: every tool to write one, sealed with correct hashes or not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from persona.container import pack
from tests.tiny_bundles import tiny_bundle

Arrays = dict[str, npt.NDArray[Any]]
RESERVED = ("format", "kind", "sha256")


def honest() -> bytes:
    """Return a bundle without a lie."""
    return tiny_bundle().to_bytes()


def header_of(data: bytes) -> dict[str, Any]:
    """Return the safetensors header as it stands in a file."""
    length = int.from_bytes(data[:8], "little")
    return dict(json.loads(data[8 : 8 + length]))


def body_of(data: bytes) -> bytes:
    """Return what follows the header."""
    return data[8 + int.from_bytes(data[:8], "little") :]


def manifest_of(data: bytes) -> dict[str, Any]:
    """Return the manifest, hashes and all."""
    return dict(json.loads(header_of(data)["__metadata__"]["manifest"]))


def facts_of(data: bytes) -> dict[str, Any]:
    """Return the manifest without what `pack` adds."""
    return {key: value for key, value in manifest_of(data).items() if key not in RESERVED}


def sealed(facts: Mapping[str, Any] | None = None, arrays: Mapping[str, Any] | None = None) -> bytes:
    """Return the honest bundle with facts and arrays exchanged, and hashes that are right. None takes an array out."""
    data = honest()
    whole = {**load(data), **(arrays or {})}
    return pack("device", {**facts_of(data), **(facts or {})}, {n: a for n, a in whole.items() if a is not None})


def without_fact(name: str) -> bytes:
    """Return the honest bundle with one fact taken out, and hashes that are right."""
    data = honest()
    return pack("device", {key: value for key, value in facts_of(data).items() if key != name}, load(data))


def with_manifest(text: str) -> bytes:
    """Return the honest arrays under any manifest at all."""
    return save(load(honest()), metadata={"manifest": text})


def with_header(header: bytes, body: bytes | None = None) -> bytes:
    """Return any header at all, with its length told truly, before the honest bundle's body or another."""
    return len(header).to_bytes(8, "little") + header + (body_of(honest()) if body is None else body)


def with_dtype(name: str, dtype: str) -> bytes:
    """Return the honest bundle with one array in another dtype, and hashes that are right."""
    return sealed(arrays={name: load(honest())[name].astype(np.dtype(dtype))})


def array_names(dtype: str | None = None) -> list[str]:
    """Return the names of the honest bundle's arrays, of one dtype where it is given."""
    return sorted(name for name, array in load(honest()).items() if dtype in (None, str(array.dtype)))
