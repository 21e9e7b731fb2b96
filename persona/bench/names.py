"""The benchmarks that targets belong to, by the names that the command line takes."""

from __future__ import annotations

from enum import StrEnum


class Benchmark(StrEnum):
    """Whose targets there are."""

    vision = "vision"
    recommendation = "recommendation"
    device = "device"
