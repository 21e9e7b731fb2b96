"""Cells from stored units: figures computed by hand, rows on fewer seeds, streams of different lengths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from persona.bench.vision.store import Unit
from persona.bench.vision.summary import Table, mean_of, read_units, table_of
from persona.errors import DataError
from tests.bench.vision.storing import FIRST, grid, store


def table_in(folder: Path) -> Table:
    return table_of(read_units(folder))


def test_the_figures_of_a_cell(tmp_path: Path) -> None:
    counts = grid(10)  # 50 %
    counts[0] = 0  # a device that is always wrong
    counts[1, 2] = 20  # one whose first window after the shift is all right
    store(tmp_path, "iid-seen", {"a": counts})
    cell = table_in(tmp_path)["iid-seen"]["same"]["a"]
    assert cell.per_device.tolist() == [0, 62.5, 50, 50]
    assert cell.mean == pytest.approx(162.5 / 4)
    assert cell.after_shift == pytest.approx((0 + 100 + 50 + 50) / 4)
    assert cell.worst() == 0
    assert cell.low_decile() == pytest.approx(15)  # a tenth of the way over three gaps: 0.3 of 0 to 50


def test_the_worst_device_is_of_one_run_and_then_averaged(tmp_path: Path) -> None:
    for stream, worst in ((11, 2), (12, 6)):
        counts = grid(10)
        counts[0] = worst
        store(tmp_path, "iid-seen", {"a": counts}, ((0, 1), (stream,)))
    assert table_in(tmp_path)["iid-seen"]["same"]["a"].worst() == pytest.approx((10 + 30) / 2)


def test_a_row_on_fewer_seeds_knows_which(tmp_path: Path) -> None:
    store(tmp_path, "iid-seen", {"static": 10}, ((0, 1), (11, 12)))
    store(tmp_path, "iid-seen", {"slow": 12}, ((0, 1), (12,)))
    cells = table_in(tmp_path)["iid-seen"]["same"]
    assert (cells["static"].streams, cells["slow"].streams) == ((11, 12), (12,))
    assert cells["slow"].devices == tuple((12, device) for device in range(4))
    assert cells["slow"].mean == pytest.approx(60)


def test_a_run_that_is_under_way_counts_what_is_there(tmp_path: Path) -> None:
    store(tmp_path, "iid-seen", {"a": 10}, ((0,), (11, 12)))
    store(tmp_path, "iid-seen", {"a": 20}, ((1,), (11,)))
    cell = table_in(tmp_path)["iid-seen"]["same"]["a"]
    assert cell.per_device.tolist() == [75] * 4 + [50] * 4
    assert cell.seeds.tolist() == [50, 100]


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_streams_may_differ_in_length_and_in_their_shifts(tmp_path: Path) -> None:
    store(tmp_path, "gradual", {"a": {"same": "0k0k"}})
    path = Unit(0, 11, "gradual").path(tmp_path)
    edit(path, first=[[0, 1, 0], [1]])
    cell = table_in(tmp_path)["gradual"]["same"]["a"]
    assert np.array_equal(cell.accuracy[0], [[0, 100, 0], [100, np.nan, np.nan]], equal_nan=True)
    assert cell.after_shift == 100
    assert cell.per_device == pytest.approx([100 / 3, 100])


def test_settings_may_differ_in_length(tmp_path: Path) -> None:
    store(tmp_path, "iid-seen", {"a": 10})
    store(tmp_path, "c-mixed", {"a": {"same": "k" * 30}})
    edit(Unit(0, 11, "c-mixed").path(tmp_path), first=[0] * 30)
    table = table_in(tmp_path)
    assert table["c-mixed"]["same"]["a"].accuracy.shape == (1, 1, 30)
    assert np.isnan(table["c-mixed"]["same"]["a"].after_shift)
    assert table["iid-seen"]["same"]["a"].accuracy.shape == (1, 4, len(FIRST))


def test_a_third_timing_is_read_where_it_is(tmp_path: Path) -> None:
    store(tmp_path, "iid-seen", {"slow": {"same": 20, "causal": 20, "constant": 10}, "static": 10})
    timings = table_in(tmp_path)["iid-seen"]
    assert timings["constant"]["slow"].mean == pytest.approx(50)
    assert set(timings["constant"]) == {"slow"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"first": [0] * 3}, "does not fit"),
        ({"first": []}, "does not fit"),
        ({"first": [[0, 0], [0]]}, "does not fit"),
        ({"first": [[0] * 8]}, "16 windows, its streams 8"),
        ({"plan": {}}, "does not fit"),
        ({"plan": {"window_size": 9}}, "10 right of 9"),
        ({"train": 5}, "another unit"),
    ],
)
def test_units_that_do_not_fit_are_told(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    store(tmp_path, "iid-seen", {"a": 10})
    edit(Unit(0, 11, "iid-seen").path(tmp_path), **changes)
    with pytest.raises(DataError, match=said):
        table_in(tmp_path)


def test_a_mean_over_nothing_is_nothing() -> None:
    assert np.array_equal(mean_of(np.array([[np.nan, np.nan], [1, np.nan]]), 1), [np.nan, 1], equal_nan=True)
