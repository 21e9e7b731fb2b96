"""The border of a method's settings: a number out of range is told by name."""

from __future__ import annotations

import math

from persona.errors import SpecError


def check_range(name: str, value: float, low: float = 0.0, high: float = math.inf) -> None:
    """Raise SpecError where a setting does not lie in [low, high], or is not a number."""
    if not low <= value <= high or math.isinf(value):
        bounds = f"{low:g} or more" if math.isinf(high) else f"from {low:g} to {high:g}"
        raise SpecError(f"{name} is {value}; it must be a finite number, {bounds}")
