"""What travels: a request (sketch or samples) up, a reply (prototype and residual code) down. Bytes, not JSON.

Both messages start with 16 bytes, little-endian; docs/wire.md has the tables. The fingerprint is the first six bytes of
the bundle's: enough to catch a mix-up; signatures, not this, keep out an attacker.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from persona.edit import Array
from persona.errors import FingerprintMismatch, MessageTooLarge, WireError

VERSION = 1
REQUEST_LIMIT_BYTES = 8 << 20
REPLY_LIMIT_BYTES = 64 << 10
CONTENT_TYPE = "application/vnd.persona.v1"

_REQUEST = struct.Struct("<2sBB6sBBI")  # magic, version, context, fingerprint, dtype, axes, samples behind it
_REPLY = struct.Struct("<2sBB6sHHH")  # magic, version, code dtype, fingerprint, prototype, bank version, expiry
_CONTEXTS = ("sketch", "samples")
_DTYPES: tuple[np.dtype[Any], ...] = tuple(np.dtype(d) for d in ("<f4", "<f2", "<u1", "<i4", "<i8"))
_NO_CODE, _FLOAT32, _FLOAT16, _INT8 = range(4)
_CODE_DTYPES = {"float32": _FLOAT32, "float16": _FLOAT16, "int8": _INT8}
_MAX_AXES = 6

Values = npt.NDArray[np.generic]


@dataclass(frozen=True)
class AdaptRequest:
    """Recent data of one device.

    `values` is a sketch's features (F,) or samples (S, …); `count` the samples behind it; `fingerprint` the
    bundle's, in hex.
    """

    fingerprint: str
    context: str
    values: Values
    count: int

    def encode(self) -> bytes:
        """Return the request as bytes; WireError where it cannot be said."""
        if self.context not in _CONTEXTS:
            raise WireError(f"a request's context is {self.context!r}; wanted one of {', '.join(_CONTEXTS)}")
        values = np.asarray(self.values)
        dtype = values.dtype.newbyteorder("<")
        if dtype not in _DTYPES or not 1 <= values.ndim <= _MAX_AXES or not values.size:
            raise WireError(
                f"a request's values are {values.dtype} of shape {values.shape}; "
                f"wanted {', '.join(str(d) for d in _DTYPES)} with 1 to {_MAX_AXES} axes, none empty"
            )
        if not 0 <= self.count < 1 << 32:
            raise WireError(f"a request counts {self.count} samples behind it; wanted 0..{(1 << 32) - 1}")
        _check_finite(values, "a request has values that are not finite; send finite ones")
        head = _REQUEST.pack(
            b"PQ", VERSION, _CONTEXTS.index(self.context), short_fingerprint(self.fingerprint),
            _DTYPES.index(dtype), values.ndim, self.count,
        )  # fmt: skip
        data = head + struct.pack(f"<{values.ndim}I", *values.shape) + values.astype(dtype).tobytes()
        if len(data) > REQUEST_LIMIT_BYTES:
            raise MessageTooLarge(f"a request is {len(data):,} bytes; the limit is {REQUEST_LIMIT_BYTES:,}: send less")
        return data

    @classmethod
    def decode(cls, data: bytes) -> AdaptRequest:
        """Read a request; WireError where it lies about itself, or is none."""
        if len(data) > REQUEST_LIMIT_BYTES:
            raise MessageTooLarge(f"a request is {len(data):,} bytes; the limit is {REQUEST_LIMIT_BYTES:,}")
        context, fingerprint, dtype_id, axes, count = _unpack(_REQUEST, b"PQ", "request", data)
        if context >= len(_CONTEXTS) or dtype_id >= len(_DTYPES) or not 1 <= axes <= _MAX_AXES:
            raise WireError(f"a request names context {context}, dtype {dtype_id}, {axes} axes, which do not exist")
        start = _REQUEST.size + 4 * axes
        if len(data) < start:
            raise WireError(f"a request of {len(data)} bytes ends within its shape")
        shape = struct.unpack_from(f"<{axes}I", data, _REQUEST.size)
        dtype = _DTYPES[dtype_id]
        wanted = start + math.prod(shape) * dtype.itemsize
        if 0 in shape:
            raise WireError(f"a request of shape {shape} has an empty axis; send at least one value")
        if len(data) != wanted:
            raise WireError(f"a request of shape {shape} and dtype {dtype} is {len(data)} bytes; wanted {wanted}")
        values = np.frombuffer(data, dtype, offset=start).reshape(shape)
        _check_finite(values, "a request has values that are not finite; send finite ones")
        return cls(fingerprint.hex(), _CONTEXTS[context], values, count)


@dataclass(frozen=True)
class AdaptReply:
    """What a device is to use: a prototype of the bank of its bundle, and what its code has beyond it.

    `residual` (n, d) float32 or None; `expires_s` seconds after which the device should ask again; `code_dtype` how the
    residual travels: float32, float16 or int8 (scaled by its largest entry).
    """

    fingerprint: str
    prototype: int
    bank_version: int
    expires_s: int
    residual: Array | None = None
    code_dtype: str = "float16"

    def encode(self) -> bytes:
        """Return the reply as bytes: 16 for a prototype alone; WireError where it cannot be said."""
        if not (0 <= self.prototype < 1 << 16 and 0 <= self.bank_version < 1 << 16 and 0 <= self.expires_s < 1 << 16):
            raise WireError(
                f"a reply has prototype {self.prototype}, bank version {self.bank_version}, expiry {self.expires_s} s; "
                "each must be in 0..65535"
            )
        if self.code_dtype not in _CODE_DTYPES:
            raise WireError(f"a reply's code dtype is {self.code_dtype!r}; wanted one of {', '.join(_CODE_DTYPES)}")
        kind = _NO_CODE if self.residual is None else _CODE_DTYPES[self.code_dtype]
        head = _REPLY.pack(
            b"PR", VERSION, kind, short_fingerprint(self.fingerprint), self.prototype, self.bank_version, self.expires_s
        )
        return head if self.residual is None else head + _pack_code(self.residual, kind)

    @classmethod
    def decode(cls, data: bytes, code_shape: tuple[int, int]) -> AdaptReply:
        """Read a reply for a bundle whose codes have shape (n, d); WireError where it lies, or is none."""
        if len(data) > REPLY_LIMIT_BYTES:
            raise MessageTooLarge(f"a reply is {len(data):,} bytes; the limit is {REPLY_LIMIT_BYTES:,}")
        kind, fingerprint, prototype, bank_version, expires_s = _unpack(_REPLY, b"PR", "reply", data)
        residual, name = None, "float16"
        if kind != _NO_CODE:
            names = {number: name for name, number in _CODE_DTYPES.items()}
            if kind not in names:
                raise WireError(f"a reply names code dtype {kind}, which does not exist")
            residual, name = _unpack_code(data[_REPLY.size :], kind, code_shape), names[kind]
        elif len(data) != _REPLY.size:
            raise WireError(f"a reply without a code is {len(data)} bytes; wanted {_REPLY.size}")
        return cls(fingerprint.hex(), prototype, bank_version, expires_s, residual, name)


def same_bundle(message: AdaptRequest | AdaptReply, fingerprint: str) -> None:
    """Raise FingerprintMismatch where a message was made for another bundle than the one named in hex."""
    if message.fingerprint[:12] != fingerprint[:12]:
        raise FingerprintMismatch(
            f"a message is for bundle {message.fingerprint[:12]}, this side has {fingerprint[:12]}; "
            "fetch the bundle that the service offers"
        )


def short_fingerprint(fingerprint: str) -> bytes:
    """Return the six bytes of a fingerprint that messages carry; WireError where it is none."""
    try:
        short = bytes.fromhex(fingerprint[:12])
    except ValueError as error:
        raise WireError(f"fingerprint {fingerprint[:12]!r} is not hexadecimal") from error
    if len(short) != 6:
        raise WireError(f"fingerprint {fingerprint!r} is too short; wanted at least 12 hexadecimal digits")
    return short


def _unpack(header: struct.Struct, magic: bytes, what: str, data: bytes) -> tuple[Any, ...]:
    if len(data) < header.size:
        raise WireError(f"a {what} of {len(data)} bytes is too short; wanted at least {header.size}")
    found, version, *rest = header.unpack_from(data)
    if found != magic:
        raise WireError(f"these {len(data)} bytes are not a {what}: they start with {found!r}, wanted {magic!r}")
    if version != VERSION:
        raise WireError(f"a {what} has version {version}, this release speaks {VERSION}; update the older side")
    return tuple(rest)


def _pack_code(code: Array, kind: int) -> bytes:
    flat = np.ascontiguousarray(code, "<f4").reshape(-1)
    _check_finite(flat, "a reply's residual code has entries that are not finite")
    if kind == _FLOAT32:
        return flat.tobytes()
    if kind == _FLOAT16:
        if np.abs(flat).max(initial=0.0) > np.finfo(np.float16).max:
            raise WireError(
                f"a reply's residual code reaches {np.abs(flat).max():.4g}, too much for float16; send float32"
            )
        return flat.astype("<f2").tobytes()
    scale = np.float32(np.abs(flat).max(initial=0.0) / 127)
    steps = np.zeros(flat.size) if scale == 0 else np.clip(np.rint(flat / scale), -127, 127)
    return struct.pack("<f", scale) + steps.astype(np.int8).tobytes()


def _unpack_code(data: bytes, kind: int, shape: tuple[int, int]) -> Array:
    size = math.prod(shape)
    wanted = {_FLOAT32: 4 * size, _FLOAT16: 2 * size, _INT8: 4 + size}[kind]
    if len(data) != wanted:
        raise WireError(f"a reply's code is {len(data)} bytes; a code of shape {shape} takes {wanted} here")
    if kind == _INT8:
        with np.errstate(over="ignore", invalid="ignore"):  # a scale that lies gives entries that are not finite
            flat = np.frombuffer(data, np.int8, offset=4) * np.frombuffer(data, "<f4", count=1)
    else:
        flat = np.frombuffer(data, "<f4" if kind == _FLOAT32 else "<f2")
    _check_finite(flat, "a reply's code has entries that are not finite; discard it and ask again")
    return np.asarray(flat, np.float32).reshape(shape)


def _check_finite(values: Values, message: str) -> None:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise WireError(message)
