"""What is said of a bundle: the parts that it may lack are listed where it has them."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from persona.inspection import facts_of, tables_of
from tests.ranked import Ring
from tests.tiny_bundles import tiny_bundle
from tests.tiny_chain import STRENGTHS, chain_bundle
from tests.tiny_parts import parts_bundle

LINES = {
    "renorm": "50% of own statistics, 3 channels",
    "gate": "edits whole up to distance 1, none from 3 on; 1 directions",
    "prior": "a bias a class, 1 hidden units, 12 parameters",
}


def shown(facts: dict[str, Any]) -> str:
    """Return the tables as a wide terminal shows them."""
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(*tables_of(facts))
    return console.export_text()


@pytest.mark.parametrize("chosen", [("renorm", "gate", "prior"), ("renorm",), ("gate",), ("prior",), ()])
def test_parts_are_listed_where_a_bundle_has_them(chosen: tuple[str, ...]) -> None:
    gone: dict[str, Any] = {name: None for name in LINES if name not in chosen}
    facts = facts_of(replace(parts_bundle(), **gone))
    expected = {
        "renorm": [{"name": "norm", "channels": 3, "strength": 0.5}],
        "gate": {"directions": 1, "full": 1.0, "none": 3.0},
        "prior": {"hidden": 1, "parameters": 12},
    }
    assert facts["parts"] == {name: expected[name] for name in chosen}
    assert json.loads(json.dumps(facts)) == facts
    text = shown(facts)
    assert {name for name, line in LINES.items() if line in text} == set(chosen)
    assert ("By the device itself" in text) == bool(chosen)


def test_every_renormalised_layer_is_listed_with_its_strength() -> None:
    facts = facts_of(chain_bundle())
    assert {row["name"]: row["strength"] for row in facts["parts"]["renorm"]} == STRENGTHS
    text = shown(facts)
    assert all(f"renorm {name}" in text for name in STRENGTHS)


def test_a_bundle_without_parts_has_none() -> None:
    assert facts_of(tiny_bundle())["parts"] == {}


def test_a_layers_name_is_shown_as_it_is() -> None:
    facts = facts_of(parts_bundle())
    facts["parts"]["renorm"][0]["name"] = "[bold]norm[/bold]"
    assert "renorm [bold]norm[/bold]" in shown(facts)


def test_a_bundle_that_ranks_says_what(tmp_path: Path) -> None:
    facts = facts_of(Ring(tmp_path).bundle)
    assert facts["parts"]["ranking"]["items"] == 6
    assert "6 items by 7 numbers" in shown(facts)
