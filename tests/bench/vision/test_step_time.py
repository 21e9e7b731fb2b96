"""Times of training steps by a clock that is counted: ours by every second block, without the first step of each."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from persona.bench.vision.step_time import training_step_ms
from persona.training.recipe import Recipe
from persona.training.suite import SuiteBudget, Workshop
from tests.tiny_task import TinyTask


def test_the_median_is_over_steps_of_each_kind(tmp_path: Path) -> None:
    ticks = count()
    recipe = Recipe(TinyTask(None).backbone, editable=("head",), classes=TinyTask(None).classes)
    shop = Workshop(TinyTask(None), recipe, SuiteBudget(1, 1, 1, 1, 0), tmp_path, lambda name: None)
    found = training_step_ms(shop, blocks=2, steps=3, clock=lambda: next(ticks) ** 2 / 1e3)
    # Ticks 0 1 2 plain, 3 4 5 ours, 6 7 8 plain, 9 10 11 ours: times between them are 1 3, 7 9, 13 15 and 19 21.
    assert found == pytest.approx({"static": 8, "persona": 14})
    assert list(tmp_path.iterdir()) == []
