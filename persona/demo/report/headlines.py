"""The figures that one looks at first, the same on the page and in a terminal."""

from __future__ import annotations

from dataclasses import dataclass

from rich import box
from rich.table import Table

from persona.demo.report.rows import ADAPTED, CAUSAL, STATIC, Results
from persona.demo.report.units import (
    count,
    interval,
    is_level,
    microseconds,
    milliseconds,
    percent,
    points,
    signed,
    size,
)


@dataclass(frozen=True)
class Headline:
    """One figure, what it is of, and what to hold beside it."""

    label: str
    value: str
    note: str


def headlines(results: Results) -> tuple[Headline, ...]:
    """Return the headline figures in reading order."""
    return (_shifting(results), _first_window(results), _unshifted(results), *_costs(results))


def summary_table(results: Results) -> Table:
    """Return the headline figures as a table for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("figure", justify="right", no_wrap=True)
    table.add_column("details")
    for headline in headlines(results):
        table.add_row(headline.label, headline.value, headline.note)
    return table


def _shifting(results: Results) -> Headline:
    accuracy = results["accuracy"]
    bounds = interval(results["intervals"]["adapted_causal_minus_static"])
    note = f"{_beside_static(accuracy[CAUSAL.key], accuracy[STATIC.key])}, 95\u00a0% interval {bounds}"
    return Headline("Accuracy on shifting devices", percent(accuracy[CAUSAL.key]), note)


def _first_window(results: Results) -> Headline:
    first = results["first_window"]
    note = _beside_static(first[CAUSAL.key], first[STATIC.key])
    return Headline("First window after a shift", percent(first[CAUSAL.key]), note)


def _unshifted(results: Results) -> Headline:
    harm, clean = results["clean_harm"], results["clean"]
    value = "nothing" if is_level(harm) or harm < 0 else points(harm)
    note = (
        f"static {percent(clean[STATIC.key])}; {CAUSAL.short} {percent(clean[CAUSAL.key])}, "
        f"{ADAPTED.short} {percent(clean[ADAPTED.key])}"
    )
    return Headline("Lost on unshifted data", value, note)


def _costs(results: Results) -> tuple[Headline, ...]:
    apply, latency = results["apply_us"], results["latency_ms"]
    raw = f"{size(results['bytes_up'])} up; the raw samples would be {size(results['sample_bytes'])}"
    signature = results.get("signature_bytes", 0)  # results of before there were signatures lack it
    signed = f"and {size(signature)} of signature; " if signature else ""
    asked = f"{count(results['requests'], 'request')}, {results['failed_requests']:,} failed or refused"
    return (
        Headline("Sent down for an edit", size(results["bytes_down"]), f"{signed}{raw}"),
        Headline(
            "Applying an edit", microseconds(apply["p50"]), f"median; 99\u00a0% within {microseconds(apply['p99'])}"
        ),
        Headline(
            "Asking the cloud",
            milliseconds(latency["p50"]),
            f"median; 99\u00a0% within {milliseconds(latency['p99'])}; {asked}",
        ),
    )


def _beside_static(value: float, static: float) -> str:
    return f"static {percent(static)}: {signed(value - static)}\u00a0points"
