"""Whole edits as bytes, for an edit that is no code of the bundle's decoder: by entry, by row, or as low-rank factors.

An encoded edit starts with 10 bytes (magic ``PE``, version, codec, six bytes of the fingerprint); the tensors follow
in the order of the spec, whose shapes say how long each is. docs/wire.md has the table.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from persona.edit import Array, Edit
from persona.errors import FingerprintMismatch, MessageTooLarge, WireError
from persona.spec import ModelSpec, TensorSpec
from persona.wire import short_fingerprint

VERSION = 1
EDIT_LIMIT_BYTES = 8 << 20
# The finest last, but for what factors can say: they are exact up to float16 where an edit has them.
CODECS = ("factors", "int8", "float16", "float32")

_HEAD = struct.Struct("<2sBB6s")  # magic, version, codec, fingerprint
_IDS = {"float32": 1, "float16": 2, "int8": 3, "factors": 4}
_NAMES = {number: name for name, number in _IDS.items()}
# float16 rounds an entry near its bound beyond it by at most this share; what lies further out is a lie.
_ROUNDING = 2**-10
_MAX_RANK = 255

# Tensor name → U (out, r) and V (rest, r), where the edit is bound · tanh(U Vᵀ / bound).
Factors = Mapping[str, tuple[npt.NDArray[np.floating[Any]], npt.NDArray[np.floating[Any]]]]


def encode_edit(edit: Edit, spec: ModelSpec, fingerprint: str, codec: str, factors: Factors | None = None) -> bytes:
    """Return an edit as bytes of a codec; EditError where it does not fit the spec, WireError where it cannot be said.

    ``int8`` has one scale a row of a tensor's first axis, and one for a vector. ``factors`` writes as float16 what
    `Decoder.factors` gives, and every other tensor as int8.
    """
    edit.check(spec)
    if codec not in _IDS:
        raise WireError(f"an edit's codec is {codec!r}; wanted one of {', '.join(CODECS)}")
    if codec == "factors" and not factors:
        raise WireError("an edit without factors cannot be sent as such; take another codec")
    parts = [_HEAD.pack(b"PE", VERSION, _IDS[codec], short_fingerprint(fingerprint))]
    for tensor in spec.tensors:
        delta = edit.deltas[tensor.name]
        if codec == "factors":
            parts.append(_pack_factors(tensor, delta, (factors or {}).get(tensor.name)))
        elif codec == "int8":
            parts.append(_pack_rows(tensor, delta))
        else:
            parts.append(_as_floats(delta, "<f4" if codec == "float32" else "<f2", tensor.name))
    data = b"".join(parts)
    if len(data) > EDIT_LIMIT_BYTES:
        raise MessageTooLarge(f"an edit is {len(data):,} bytes as {codec}; the limit is {EDIT_LIMIT_BYTES:,}")
    return data


def decode_edit(data: bytes, spec: ModelSpec, fingerprint: str) -> Edit:
    """Read an edit for a model; WireError where it lies about itself, EditError where it is out of bounds."""
    if len(data) > EDIT_LIMIT_BYTES:
        raise MessageTooLarge(f"an edit is {len(data):,} bytes; the limit is {EDIT_LIMIT_BYTES:,}")
    if len(data) < _HEAD.size:
        raise WireError(f"an edit of {len(data)} bytes is too short; wanted at least {_HEAD.size}")
    magic, version, number, found = _HEAD.unpack_from(data)
    if magic != b"PE" or version != VERSION or number not in _NAMES:
        raise WireError(f"these {len(data)} bytes are no edit: {magic!r}, version {version}, codec {number}")
    if found.hex() != fingerprint[:12]:
        raise FingerprintMismatch(f"an edit is for bundle {found.hex()}, this side has {fingerprint[:12]}; ask anew")
    reader = _Reader(data, _HEAD.size)
    with np.errstate(over="ignore", invalid="ignore"):  # scales and factors that lie: the check below refuses them
        deltas = {tensor.name: _within(tensor, _READ[_NAMES[number]](reader, tensor)) for tensor in spec.tensors}
    reader.check_done()
    return Edit(deltas).check(spec)


def relative_error(edit: Edit, arrived: Edit) -> float:
    """Return how far an edit has moved on its way, as a share of its size; 0 for one that changes nothing."""
    size = edit.distance(edit.scale(0.0))
    return edit.distance(arrived) / size if size else edit.distance(arrived)


class _Reader:
    """Takes what comes next; never more than there is."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data, self._at = data, start

    def take(self, count: int, dtype: str) -> Array:
        size = count * np.dtype(dtype).itemsize
        if self._at + size > len(self._data):
            raise WireError(f"an edit of {len(self._data)} bytes ends within a tensor; fetch it again")
        values = np.frombuffer(self._data, dtype, count, self._at)
        self._at += size
        return values.astype(np.float32)

    def check_done(self) -> None:
        if self._at != len(self._data):
            raise WireError(f"an edit is {len(self._data)} bytes; its tensors take {self._at}")


def _rows(tensor: TensorSpec) -> int:
    return tensor.shape[0] if len(tensor.shape) > 1 else 1


def _pack_rows(tensor: TensorSpec, delta: Array) -> bytes:
    rows = delta.reshape(_rows(tensor), -1)
    scales = (np.abs(rows).max(axis=1) / 127).astype("<f4")
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.where(scales[:, None] > 0, np.rint(rows / scales[:, None]), 0)
    return bytes(scales.tobytes()) + bytes(np.clip(steps, -127, 127).astype(np.int8).tobytes())


def _read_rows(reader: _Reader, tensor: TensorSpec) -> Array:
    scales = reader.take(_rows(tensor), "<f4")
    return (reader.take(tensor.size, "<i1").reshape(len(scales), -1) * scales[:, None]).reshape(tensor.shape)


def _pack_factors(tensor: TensorSpec, delta: Array, pair: tuple[Any, Any] | None) -> bytes:
    if pair is None:
        return b"\0" + _pack_rows(tensor, delta)
    u, v = pair
    wanted = (tensor.shape[0], tensor.size // tensor.shape[0])
    if (len(u), len(v)) != wanted or u.shape[1:] != v.shape[1:] or not 1 <= u.shape[1] <= _MAX_RANK:
        raise WireError(f"factors of {tensor.name!r} have shapes {u.shape} and {v.shape}; wanted {wanted} rows, one r")
    return bytes([u.shape[1]]) + _as_floats(u, "<f2", tensor.name) + _as_floats(v, "<f2", tensor.name)


def _read_factors(reader: _Reader, tensor: TensorSpec) -> Array:
    rank = int(reader.take(1, "<u1")[0])
    if not rank:
        return _read_rows(reader, tensor)
    out = tensor.shape[0]
    u = reader.take(out * rank, "<f2").reshape(out, rank).astype(np.float64)
    v = reader.take(tensor.size // out * rank, "<f2").reshape(-1, rank).astype(np.float64)
    return np.asarray(tensor.bound * np.tanh(u @ v.T / tensor.bound), np.float32).reshape(tensor.shape)


_READ = {
    "float32": lambda reader, tensor: reader.take(tensor.size, "<f4").reshape(tensor.shape),
    "float16": lambda reader, tensor: reader.take(tensor.size, "<f2").reshape(tensor.shape),
    "int8": _read_rows,
    "factors": _read_factors,
}


def _as_floats(values: npt.NDArray[Any], dtype: str, name: str) -> bytes:
    with np.errstate(over="ignore"):
        cast = np.ascontiguousarray(values, dtype)
    if not np.isfinite(cast).all():
        raise WireError(f"edit of {name!r} has entries that {np.dtype(dtype)} cannot say; take another codec")
    return bytes(cast.tobytes())


def _within(tensor: TensorSpec, delta: Array) -> Array:
    """Return a delta without what rounding added beyond the bound; what lies further out stays, to be refused."""
    over = np.abs(delta) > tensor.bound
    rounded = over & (np.abs(delta) <= tensor.bound * (1 + _ROUNDING))
    return np.where(rounded, np.copysign(np.float32(tensor.bound), delta), delta).astype(np.float32)
