"""Write the golden messages of wire version 1 and what they say: ``python -m tests.vectors.make_wire_vectors``.

Run once for a version, and committed with its output. The messages of an old version are never written again: that
every later release still reads and writes them is what they are for. The bytes are put together here by hand, from the
tables in docs/wire.md, not by the package.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from persona.files import write_together

FOLDER = Path(__file__).parent
FINGERPRINT = "00017f80feff" + "5a" * 26  # only the first twelve digits travel
FORMATS = {"float32": "f", "float16": "e", "uint8": "B", "int32": "i", "int64": "q"}
CONTEXTS = {"sketch": 0, "samples": 1}
DTYPES = {"float32": 0, "float16": 1, "uint8": 2, "int32": 3, "int64": 4}

# Name, context, dtype, shape, values, count. All values are exact in their type.
REQUESTS: list[tuple[str, str, str, list[int], list[float], int]] = [
    ("request-sketch-float32", "sketch", "float32", [5], [0.5, -16.0, 16.0, 0.0, 1.25], 32),
    ("request-sketch-float16", "sketch", "float16", [5], [0.5, -16.0, 16.0, 0.0, 1.25], 4294967295),
    ("request-samples-float32", "samples", "float32", [2, 1, 3], [1.5, -2.0, 0.0, 3.0, 1e30, -0.0], 2),
    ("request-samples-uint8", "samples", "uint8", [3, 2], [0, 1, 127, 128, 254, 255], 3),
    ("request-samples-int32", "samples", "int32", [1, 2], [-2147483648, 2147483647], 1),
    ("request-samples-int64", "samples", "int64", [1, 1, 1, 1, 1, 2], [-9007199254740992, 7], 1),
]
# Name, how the residual travels, its rows, prototype, bank version, expiry in seconds.
REPLIES: list[tuple[str, str | None, list[list[float]] | None, int, int, int]] = [
    ("reply-prototype", None, None, 3, 1, 600),
    ("reply-float32", "float32", [[1.5, -0.25], [0.0, 1e30]], 0, 0, 0),
    ("reply-float16", "float16", [[1.5, -0.25], [0.0, 65504.0]], 65535, 65535, 65535),
    ("reply-int8", "int8", [[63.5, -32.0], [0.5, 0.0]], 258, 772, 1286),  # steps of 0.5
    ("reply-int8-zero", "int8", [[0.0, 0.0, 0.0]], 1, 2, 3),
]


def request_bytes(context: str, dtype: str, shape: list[int], values: list[float], count: int) -> bytes:
    """Return the bytes of a request."""
    head = b"PQ" + bytes([1, CONTEXTS[context]]) + bytes.fromhex(FINGERPRINT[:12])
    head += bytes([DTYPES[dtype], len(shape)]) + struct.pack("<I", count)
    return head + struct.pack(f"<{len(shape)}I", *shape) + struct.pack(f"<{len(values)}{FORMATS[dtype]}", *values)


def reply_bytes(
    dtype: str | None, residual: list[list[float]] | None, prototype: int, bank_version: int, expires_s: int
) -> bytes:
    """Return the bytes of a reply."""
    kind = {None: 0, "float32": 1, "float16": 2, "int8": 3}[dtype]
    head = b"PR" + bytes([1, kind]) + bytes.fromhex(FINGERPRINT[:12])
    head += struct.pack("<HHH", prototype, bank_version, expires_s)
    if residual is None or dtype is None:
        return head
    flat = [value for row in residual for value in row]
    if dtype != "int8":
        return head + struct.pack(f"<{len(flat)}{FORMATS[dtype]}", *flat)
    scale = max(map(abs, flat)) / 127
    steps = [round(value / scale) if scale else 0 for value in flat]
    return head + struct.pack(f"<f{len(flat)}b", scale, *steps)


def main() -> None:
    """Write ``wire-1-<name>.bin`` for every message, and ``wire-1.json``."""
    messages: list[dict[str, Any]] = []
    files: dict[Path, bytes] = {}
    for name, context, dtype, shape, values, count in REQUESTS:
        data = request_bytes(context, dtype, shape, values, count)
        files[FOLDER / f"wire-1-{name}.bin"] = data
        facts = {"context": context, "dtype": dtype, "shape": shape, "values": values, "count": count}
        messages.append({"name": name, "kind": "request", "size_bytes": len(data), **facts})
    for name, code_dtype, residual, prototype, bank_version, expires_s in REPLIES:
        data = reply_bytes(code_dtype, residual, prototype, bank_version, expires_s)
        files[FOLDER / f"wire-1-{name}.bin"] = data
        numbers = {"prototype": prototype, "bank_version": bank_version, "expires_s": expires_s}
        code = {"code_dtype": code_dtype, "residual": residual}
        messages.append({"name": name, "kind": "reply", "size_bytes": len(data), **numbers, **code})
    lines = ",\n".join(f"  {json.dumps(message)}" for message in messages)
    text = f'{{\n"version": 1,\n"fingerprint": "{FINGERPRINT}",\n"messages": [\n{lines}\n]\n}}\n'
    write_together({**files, FOLDER / "wire-1.json": text.encode()})


if __name__ == "__main__":
    main()
