"""Rows on disk: added to one file, which is refused where it is damaged or of something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from persona.bench.store import read_rows, write_rows
from persona.errors import DataError

ABOUT = {"plan": {"window_size": 8}, "queries": {"user": "0"}}


def test_rows_are_added_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "iid-seen-0-11.json"
    assert read_rows(path) == {}
    write_rows(path, ABOUT, {"a": {"same": "12"}})
    write_rows(path, ABOUT, {"b": {"same": "34"}})
    assert read_rows(path) == {**ABOUT, "rows": {"a": {"same": "12"}, "b": {"same": "34"}}}


def test_rows_of_another_plan_are_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "u.json", ABOUT, {"a": {}})
    with pytest.raises(DataError, match=r"another plan \(window_size\)"):
        write_rows(tmp_path / "u.json", {"plan": {"window_size": 16}}, {"b": {}})
    assert set(read_rows(tmp_path / "u.json")["rows"]) == {"a"}


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"rows": 3}', "\x00"])
def test_a_damaged_file_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "u.json").write_text(text)
    with pytest.raises(DataError, match=r"u\.json are damaged"):
        read_rows(tmp_path / "u.json")


def test_a_part_that_is_wanted_is_looked_for(tmp_path: Path) -> None:
    write_rows(tmp_path / "u.json", {"plan": {}}, {"a": {}})
    assert read_rows(tmp_path / "u.json", ("plan",))
    with pytest.raises(DataError, match="damaged"):
        read_rows(tmp_path / "u.json", ("plan", "queries"))
    with pytest.raises(DataError, match=r"another queries \(user\)"):
        write_rows(tmp_path / "u.json", {**ABOUT, "plan": {}}, {"b": {}}, ("plan", "queries"))
