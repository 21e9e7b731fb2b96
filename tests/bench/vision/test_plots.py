"""Plots: what they show stands in them as text, and the same results give the same bytes."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from persona.bench.vision.plots import PLOTS, holds, plot
from persona.bench.vision.results import Stored, load_results
from persona.bench.vision.roles import OURS_ROW, PRIMARY
from persona.bench.vision.store import write_costs
from tests.bench.vision.storing import store


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    rows = {OURS_ROW: 16, "static": 10, "tent": 11, "bn": 12, "lame": 9, "worst-peer": 1}
    store(tmp_path / PRIMARY, "iid-seen", {**rows, f"{OURS_ROW}-k4-no-prior": 12, f"{OURS_ROW}-no-prior": 14})
    write_costs(tmp_path / PRIMARY, "tent", {"flops": 3e6})
    return load_results(tmp_path)[PRIMARY]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("shift", ["persona same window", "persona causal", "static", "bn same window", "lame same window"]),
        ("prototypes", ["iid-seen", "whole codes", "prototypes K", "gain over static kept, %"]),
        ("cost", ["tent", "accuracy, iid-seen, %"]),
    ],
)
def test_a_plot_names_what_it_shows(stored: Stored, kind: str, words: list[str]) -> None:
    drawn = plot(stored, kind)
    assert drawn is not None
    texts = {element.text for element in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")}  # noqa: S314
    assert {*words, PLOTS[kind]} <= texts
    assert not any("worst-peer" in (text or "") for text in texts)


@pytest.mark.parametrize("kind", PLOTS)
def test_the_same_results_give_the_same_bytes(stored: Stored, kind: str) -> None:
    assert plot(stored, kind) == plot(stored, kind)


@pytest.mark.parametrize("kind", PLOTS)
def test_nothing_to_show_is_no_plot(kind: str, tmp_path: Path) -> None:
    store(tmp_path / PRIMARY, "clean", {OURS_ROW: 16})
    stored = load_results(tmp_path)[PRIMARY]
    assert not holds(stored, kind)
    assert plot(stored, kind) is None
