"""Verdicts of any benchmark: one that is not measured is not met."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from persona.bench.verdict import Outcome, Verdict, all_met, counts_of, table_of


def verdict(outcome: Outcome) -> Verdict:
    return Verdict("A1", "10 more", "+11.0 points [sic]", "[+9.0, +13.0]", outcome)


@pytest.mark.parametrize(
    ("outcomes", "met"),
    [(["met", "met"], True), (["met", "missed"], False), (["met", "not measured"], False), ([], False)],
)
def test_all_are_met_only_where_each_was_measured_and_is(outcomes: list[Outcome], met: bool) -> None:
    assert all_met([verdict(outcome) for outcome in outcomes]) is met


def test_the_table_shows_every_figure_and_counts_them() -> None:
    out = io.StringIO()
    found = [verdict("met"), verdict("missed"), verdict("missed")]
    Console(file=out, width=120).print(table_of(found))
    for word in ("A1", "10 more", "+11.0 points [sic]", "[+9.0, +13.0]", "missed", "1 met, 2 missed, 0 not measured"):
        assert word in out.getvalue()
    assert counts_of(found).startswith("Of 3")
