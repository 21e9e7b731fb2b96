"""The container of `persona.container`, mapped rather than read: for arrays that are looked at a few rows at a time.

Pages of the file come into memory as they are looked at, and leave it when memory is short. Files are replaced by
renaming (`persona.files`), so a mapped one never changes.
"""

from __future__ import annotations

import hashlib
import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from persona.container import check_hashes, checked_manifest, header_of, manifest_text
from persona.errors import BundleError

MAPPED_LIMIT_BYTES = 8 << 30
_DTYPES = {"F32": "<f4", "F16": "<f2", "I8": "|i1", "I64": "<i8"}


def map_file(kind: str, path: Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]], str]:
    """Return manifest, read-only arrays in the mapped file, and fingerprint, as `container.unpack` does.

    The whole file is read once, for its hashes, but never held. BundleError where it cannot be read, is truncated,
    altered, too large, of another kind or not a container.
    """
    data = _mapped(path)
    header = header_of(data)
    text = manifest_text(header)
    manifest = checked_manifest(kind, text)
    start = 8 + int.from_bytes(data[:8], "little")
    arrays = _arrays({name: entry for name, entry in header.items() if name != "__metadata__"}, data, start)
    check_hashes(manifest.get("sha256"), arrays)
    return manifest, arrays, hashlib.sha256(text.encode()).hexdigest()


def _mapped(path: Path) -> mmap.mmap:
    try:
        if path.exists() and not path.is_file():
            raise BundleError(f"{path} is not a file; `persona` writes one beside a bundle")
        size = path.stat().st_size
        if not 8 <= size <= MAPPED_LIMIT_BYTES:
            raise BundleError(f"{path} is {size:,} bytes; wanted 8 to {MAPPED_LIMIT_BYTES:,}: fetch it again")
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _arrays(entries: Mapping[str, Any], data: mmap.mmap, start: int) -> dict[str, npt.NDArray[Any]]:
    """Return every array as a view; BundleError where entries overlap, leave gaps or reach beyond the file."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    places: list[tuple[int, int]] = []
    for name, entry in entries.items():
        try:
            dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), tuple(_whole(n) for n in entry["shape"])
            first, last = (_whole(n) for n in entry["data_offsets"])
            if last - first != math.prod(shape) * dtype.itemsize or start + last > len(data):
                raise BundleError(f"array {name!r} of a mapped file lies about its size; fetch it again")
            arrays[name] = np.frombuffer(data, dtype, math.prod(shape), start + first).reshape(shape)
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"array {name!r} of a mapped file is ill-described ({error!r}); fetch it again"
            ) from error
        places.append((first, last))
    end = 0
    for first, last in sorted(places):
        if first != end:
            raise BundleError("arrays of a mapped file overlap or leave gaps; fetch it again")
        end = last
    if start + end != len(data):
        raise BundleError(f"a mapped file has {len(data) - start - end:,} bytes that no array uses; fetch it again")
    return arrays


def _whole(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise ValueError(f"{number!r} is not a size")
    return number
