"""Roles: every row and setting that a run knows has its place in the tables and the targets."""

from __future__ import annotations

import pytest

from persona import catalog
from persona.bench.vision import roles, rows, settings
from persona.bench.vision.verdict import DELAYS


@pytest.mark.parametrize("row", rows.OURS)
def test_every_row_of_ours_is_ours(row: str) -> None:
    assert roles.is_ours(row)
    assert not roles.is_peer(row)


def test_the_controls_are_those_that_are_run() -> None:
    assert set(roles.CONTROLS) == set(rows.CONTROLS)
    assert not any(roles.is_peer(row) or roles.is_ours(row) for row in rows.CONTROLS)


def test_every_wanted_peer_can_be_run() -> None:
    assert set(roles.WANTED_PEERS) <= {*catalog.names("methods"), *rows.TRAINED_PEERS}
    assert all(roles.is_peer(row) for row in roles.WANTED_PEERS)
    assert not roles.is_peer(roles.ORACLE)


def test_what_the_targets_ask_for_is_run() -> None:
    assert {*DELAYS, "persona-k16", "persona-k64", *(f"persona-k{k}-no-prior" for k in roles.PROTOTYPES)} <= set(
        rows.OURS
    )
    assert {*roles.MAIN, *roles.CORRUPTED, "gradual"} <= set(settings.SETTINGS)


def test_a_label_says_the_role() -> None:
    assert roles.label("persona") == "`persona`"
    assert roles.label("mean-edit") == "`mean-edit` (control)"
    assert roles.label("finetune") == "`finetune` (oracle, labelled)"
