"""C3 from stored figures alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from persona.bench.service.measure import read_figures
from persona.bench.verdict import Judged, Missing, Verdict, verdict_of

Figures = Mapping[str, Any]
# Above this load of the machine before the run its times say nothing.
BUSY = 0.5


def service_verdicts(path: Path) -> list[Verdict]:
    """Return a verdict for each part of C3 from a stored file; DataError where it is damaged."""
    figures = read_figures(path)
    return [verdict_of("C3", asked, partial(_judged, judge, figures)) for asked, judge in TARGETS]


def _judged(judge: Callable[[Figures], Judged], figures: Figures | None) -> Judged:
    if figures is None:
        raise Missing("a service: run `persona bench service --out`")
    if figures["load"] > BUSY:
        raise Missing(f"a quiet machine: its load was {figures['load']:g} before")
    return judge(figures)


def _cpu(figures: Figures) -> Judged:
    return Judged(f"{figures['cpu_ms']:.3f} ms", "", figures["cpu_ms"] <= 0.3)


def _throughput(figures: Figures) -> Judged:
    return Judged(f"{figures['requests_per_s']:,.0f} a second", "", figures["requests_per_s"] >= 3000)


def _latency(figures: Figures) -> Judged:
    half = figures["half_load"]
    return Judged(f"{half['p99_ms']:.1f} ms at {half['requests_per_s']:,.0f} a second", "", half["p99_ms"] <= 50)


TARGETS: Sequence[tuple[str, Callable[[Figures], Judged]]] = (
    ("a request, all in: ≤ 0.3 CPU ms", _cpu),
    ("requests on one core: ≥ 3,000 a second", _throughput),
    ("99th percentile at half load: ≤ 50 ms", _latency),
)
