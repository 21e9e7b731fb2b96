"""One file of named arrays with a manifest: safetensors, whose metadata holds canonical JSON.

The manifest carries the sha256 of every array, so that its own hash, the fingerprint, stands for the whole file.
Nothing in it is code, and reading it executes none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from persona.errors import BundleError, BundleVersionError
from persona.strict_json import parse_object

FORMAT = 1
SIZE_LIMIT_BYTES = 512 << 20

HEADER_LIMIT_BYTES = 16 << 20

Arrays = Mapping[str, npt.NDArray[Any]]


class Sliceable(Protocol):
    """Bytes, or a file that is mapped: slices of either are bytes."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: slice, /) -> bytes: ...


def pack(kind: str, facts: Mapping[str, Any], arrays: Arrays) -> bytes:
    """Return a container of one kind: the facts go into its manifest, with format and hashes added.

    BundleError where the facts cannot be said in JSON: types that it lacks, or numbers that are not finite.
    """
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    manifest = {**facts, "format": FORMAT, "kind": kind, "sha256": {n: _sha256(a) for n, a in whole.items()}}
    try:
        return save(whole, metadata={"manifest": _canonical(manifest)})
    except (TypeError, ValueError, RecursionError) as error:
        raise BundleError(
            f"a {kind} bundle's facts cannot be said in JSON ({error}); use plain, finite values"
        ) from error


def unpack(kind: str, data: bytes) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]], str]:
    """Return manifest, arrays and fingerprint (64 hex digits) of a container.

    BundleError where the bytes are truncated, altered, too many, of another kind or not a container;
    BundleVersionError where a newer release wrote them.
    """
    if len(data) > SIZE_LIMIT_BYTES:
        raise BundleError(f"a bundle is {len(data):,} bytes; the limit is {SIZE_LIMIT_BYTES:,}")
    text = manifest_text(header_of(data))
    manifest = checked_manifest(kind, text)
    try:
        arrays = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise BundleError(
            f"a bundle of {len(data):,} bytes is truncated or damaged ({error}); fetch it again"
        ) from error
    check_hashes(manifest.get("sha256"), arrays)
    return manifest, arrays, hashlib.sha256(text.encode()).hexdigest()


def header_of(data: Sliceable) -> dict[str, Any]:
    """Return the safetensors header (8 bytes of length, then JSON) of bytes, or of a mapped file."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8 or length > HEADER_LIMIT_BYTES:
        raise BundleError(f"{len(data):,} bytes are not a bundle, or one cut short in its header; fetch it again")
    return _parse(data[8 : 8 + length].decode("utf-8", "replace"))


def manifest_text(header: Mapping[str, Any]) -> str:
    """Return the manifest as it stands in a header."""
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("manifest"), str):
        raise BundleError("a safetensors file without a manifest is not a bundle; `persona export` writes bundles")
    return str(metadata["manifest"])


def checked_manifest(kind: str, text: str) -> dict[str, Any]:
    """Return a manifest; BundleError where it is of another kind, BundleVersionError where it is of a newer format."""
    manifest = _parse(text)
    _check_format(manifest.get("format"))
    if manifest.get("kind") != kind:
        found = manifest.get("kind")
        raise BundleError(f"this file is a {found!r} bundle; wanted a {kind!r} one: give the other file")
    return manifest


def _parse(text: str) -> dict[str, Any]:
    try:
        return parse_object(text)
    except ValueError as error:
        raise BundleError(f"a bundle's header is not JSON ({error}); the file is damaged or not a bundle") from error


def _check_format(found: Any) -> None:
    if type(found) is not int or found < 1:
        raise BundleError(f"a bundle names format {found!r}; wanted a whole number up to {FORMAT}: fetch it again")
    if found > FORMAT:
        raise BundleVersionError(f"a bundle has format {found}, this release reads up to {FORMAT}; update persona-edge")


def check_hashes(hashes: Any, arrays: Arrays) -> None:
    """Raise BundleError where a manifest's hashes are not those of the arrays."""
    if not isinstance(hashes, dict) or hashes.keys() != arrays.keys():
        raise BundleError(
            "a bundle's manifest does not list the arrays that it holds; the file was altered: fetch it again"
        )
    for name, array in arrays.items():
        if _sha256(array) != hashes[name]:
            raise BundleError(
                f"array {name!r} of a bundle was altered: its sha256 differs from the manifest's; fetch it again"
            )


def _sha256(array: npt.NDArray[Any]) -> str:
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)  # in place: it may be a mapped file
    return digest.hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
