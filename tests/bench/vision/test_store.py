"""Results on disk: nothing is lost on the way, and what is damaged or another's is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from persona.bench.vision.store import Unit, pack, read_costs, unpack, write_costs
from persona.errors import DataError


def test_counts_come_back_as_they_were() -> None:
    counts = np.arange(36).reshape(6, 6)
    assert pack(counts) == "0123456789abcdefghijklmnopqrstuvwxyz"
    assert np.array_equal(unpack(pack(counts), 6), counts)


@pytest.mark.parametrize("count", [-1, 36])
def test_counts_that_no_digit_holds_are_refused(count: int) -> None:
    with pytest.raises(DataError, match=r"one digit holds 0\.\.35"):
        pack(np.array([[0, count]]))


@pytest.mark.parametrize(("text", "windows"), [("123", 2), ("1-", 2), ("1A", 2), ("", 2), ("12", 0), ("é1", 2)])
def test_digits_that_are_no_counts_are_refused(text: str, windows: int) -> None:
    with pytest.raises(DataError, match="cut off"):
        unpack(text, windows)


def test_a_units_name_leads_back_to_it(tmp_path: Path) -> None:
    unit = Unit(2, 13, "c-mixed-correlated")
    assert Unit.of(unit.path(tmp_path)) == unit
    assert Unit.of(tmp_path / "costs.json") is None


def test_costs_are_kept_by_row(tmp_path: Path) -> None:
    assert read_costs(tmp_path) == {}
    write_costs(tmp_path, "static", {"flops": 10})
    write_costs(tmp_path, "tent", {"flops": 30})
    write_costs(tmp_path, "static", {"flops": 20})
    assert read_costs(tmp_path) == {"static": {"flops": 20.0}, "tent": {"flops": 30.0}}


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": {"flops": "many"}}'])
def test_damaged_costs_are_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "costs.json").write_text(text)
    with pytest.raises(DataError, match=r"costs\.json are damaged"):
        read_costs(tmp_path)
