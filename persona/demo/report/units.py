"""Numbers as a reader meets them: rounded once, with their unit, and differences in words."""

from __future__ import annotations

import math
from collections.abc import Iterable

MISSING = "not measured"
LEVEL_POINTS = 0.05  # a smaller difference is nought at the one digit that is shown


def percent(value: float) -> str:
    """Return an accuracy or share with one digit: ``68.0 %``."""
    return f"{value:.1f}\u00a0%" if math.isfinite(value) else MISSING


def points(value: float) -> str:
    """Return the size of a difference of accuracies: ``7.9 points``."""
    return f"{abs(value):.1f}\u00a0points" if math.isfinite(value) else MISSING


def signed(value: float) -> str:
    """Return a difference with its sign: ``+7.9``, ``−0.4``, ``0.0``."""
    if not math.isfinite(value):
        return MISSING
    return "0.0" if is_level(value) else f"{value:+.1f}".replace("-", "−")


def interval(bounds: Iterable[float]) -> str:
    """Return the two ends of an interval of differences: ``+6.1 to +9.4``."""
    return " to ".join(signed(bound) for bound in bounds)


def is_level(difference: float) -> bool:
    """Return whether a difference shows as nought."""
    return abs(difference) < LEVEL_POINTS


def against(value: float, other: float) -> str:
    """Return how one accuracy stands to another, ready for its name: ``7.9 points above``, ``level with``."""
    difference = value - other
    if not math.isfinite(difference):
        return "not comparable with"
    if is_level(difference):
        return "level with"
    return f"{points(difference)} {'above' if difference > 0 else 'below'}"


def count(number: float, noun: str) -> str:
    """Return a count and its noun: ``1 device``, ``1,200 devices``."""
    return f"{number:,}\u00a0{noun}" if number == 1 else f"{number:,}\u00a0{noun}s"


def size(n_bytes: float) -> str:
    """Return a size in bytes, kB (1,000 bytes) or MB."""
    if not math.isfinite(n_bytes):
        return MISSING
    if n_bytes < 999.5:
        return f"{n_bytes:.0f}\u00a0bytes"
    return f"{n_bytes / 1e3:.3g}\u00a0kB" if n_bytes < 999.5e3 else f"{n_bytes / 1e6:.1f}\u00a0MB"


def microseconds(value: float) -> str:
    """Return a time that was measured in µs."""
    if not math.isfinite(value):
        return MISSING
    return f"{value:.0f}\u00a0µs" if value < 1e3 else f"{value / 1e3:.1f}\u00a0ms"


def milliseconds(value: float) -> str:
    """Return a time that was measured in ms."""
    return f"{value:.1f}\u00a0ms" if math.isfinite(value) else MISSING


def mean(values: Iterable[float]) -> float:
    """Return the mean of the finite values; not a number where there are none."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan
