"""JSON as somebody else wrote it, read one way only: an object, no key twice, no number that JSON does not have."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def parse_object(text: str, *, whole_numbers: bool = False) -> dict[str, Any]:
    """Return a JSON object; ValueError where it is none, or where two readers might read it differently.

    `whole_numbers` refuses fractions too.
    """
    fraction = _refuse_fraction if whole_numbers else float
    try:
        value = json.loads(
            text, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant, parse_float=fraction
        )
    except RecursionError as error:
        raise ValueError(str(error)) from error
    if not isinstance(value, dict):
        raise ValueError(f"a {type(value).__name__} where an object was wanted")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; ValueError where a key stands twice: readers differ in which one they believe."""
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return value


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _refuse_fraction(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is not a whole number")
