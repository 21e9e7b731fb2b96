"""Canonical JSON, as TUF signs it: sorted keys, no blanks, whole numbers, only quote and backslash escaped."""

from __future__ import annotations

from typing import Any

from persona.errors import TrustError
from persona.strict_json import parse_object


def canonical(value: Any) -> bytes:
    """Return the one way to write a value; TrustError where it holds what canonical JSON lacks."""
    try:
        return _written(value).encode()
    except (UnicodeEncodeError, RecursionError) as error:
        raise TrustError(f"a value cannot be written as canonical JSON ({error}); use plain values") from error


def parse(data: bytes, limit_bytes: int, what: str) -> dict[str, Any]:
    """Return a JSON object; TrustError where the bytes are too many, no JSON, no object, or say a thing twice."""
    if len(data) > limit_bytes:
        raise TrustError(f"{what} is {len(data):,} bytes; the limit is {limit_bytes:,}")
    try:
        return parse_object(data.decode(), whole_numbers=True)
    except ValueError as error:
        raise TrustError(f"{what} is not JSON of whole numbers and text ({error}); fetch it again") from error


def _written(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_written, value)) + "]"
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return "{" + ",".join(f"{_written(key)}:{_written(inner)}" for key, inner in sorted(value.items())) + "}"
    raise TrustError(f"canonical JSON has no {type(value).__name__}; use text, whole numbers, lists and objects")
