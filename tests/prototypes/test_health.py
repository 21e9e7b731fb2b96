"""Health figures, each worked by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from persona.errors import DataError
from persona.prototypes.health import health
from tests.prototypes.worlds import bank_of, line


def test_figures_by_hand() -> None:
    """Nine codes at 0, one at 11; trained shares ¼ each: ½ (0.65 + 0.15 + ¼ + ¼) = 0.65."""
    bank = bank_of(line(0, 10, 20, 30))
    found = health(bank, line(*[0.0] * 9, 11), previous=bank_of(line(0, 10, 23, 24)))
    assert found.to_json()["shares"] == [0.9, 0.1, 0, 0]
    assert found.total_variation == pytest.approx(0.65)
    assert found.to_json()["dead"] == [2, 3]
    assert found.to_json()["crowded"] == [0]
    assert found.to_json()["drift"] == [0, 0, 3, 6]
    assert found.mean_residual == pytest.approx(0.1)


def test_live_as_in_training_there_is_nothing_to_see() -> None:
    found = health(bank_of(line(0, 10)), line(0, 10))
    assert (found.total_variation, found.dead, found.crowded, found.drift) == (0, (), (), None)


def test_a_bank_that_counts_nobody_has_no_variation() -> None:
    bank = replace(bank_of(line(0, 10)), counts=np.zeros(2, np.int64))
    assert health(bank, line(0)).total_variation is None


def test_distances_are_the_metrics() -> None:
    bank = bank_of(line(0, 10), [[3, 0], [0, 1]])
    assert health(bank, line(1, 9), previous=bank).mean_residual == 3


def test_figures_travel_as_json() -> None:
    found = health(bank_of(line(0, 10), version=7), line(0, 0, 0, 10))
    assert json.loads(json.dumps(found.to_json())) == {
        "version": 7,
        "shares": [0.75, 0.25],
        "total_variation": 0.25,
        "dead": [],
        "crowded": [],
        "drift": None,
        "mean_residual": 0.0,
    }


def test_no_codes_have_no_health() -> None:
    with pytest.raises(DataError, match="of no codes"):
        health(bank_of(line(0)), line(0)[:0])
