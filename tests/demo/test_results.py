"""Figures from records whose answer is known by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from persona.demo.results import paired_interval, read_device, stream_figures
from persona.errors import DataError

ROWS = ("static", "base", "mean_edit", "adapted", "adapted_causal")


def facts(**changes: Any) -> dict[str, Any]:
    """Return what a runtime says of itself after a window."""
    usual = {
        "in_force": "prototype 3 + residual",
        "asks": 2,
        "replies": 2,
        "refused": 0,
        "reason": "",
        "jumps": 1,
        "bytes_up": 1400,
        "bytes_down": 96,
        "latency_ms": 4.0,
        "apply_us": {"decode_us": 30.0, "check_us": 20.0, "trial_us": 40.0, "swap_us": 10.0},
    }
    return usual | changes


def write(path: Path, correct: list[dict[str, int]], first: list[bool]) -> Path:
    """Write one device's records: four samples a window."""
    lines: list[dict[str, Any]] = [
        {"window": t, "segment": 0, "first": f, "n": 4, "correct": c, "same": facts(), "causal": facts()}
        for t, (c, f) in enumerate(zip(correct, first, strict=True))
    ]
    lines.append({"domains": ["rotation 0.5"], "rss_mb": 70.0, "torch_imported": False})
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


def same(value: int, **others: int) -> dict[str, int]:
    """Return correct counts: the same for every row, but for the named ones."""
    return dict.fromkeys(ROWS, value) | others


def test_accuracies_differences_and_costs(tmp_path: Path) -> None:
    one = write(tmp_path / "a", [same(2, adapted=4), same(2, adapted_causal=3)], [True, False])
    two = write(tmp_path / "b", [same(1), same(1, adapted=3)], [True, False])
    clean = write(tmp_path / "c", [same(4, adapted_causal=3)], [True])
    figures = stream_figures([one, two], [clean])
    assert figures["accuracy"]["static"] == pytest.approx(100 * 6 / 16)
    assert figures["accuracy"]["adapted"] == pytest.approx(100 * 10 / 16)
    assert figures["accuracy"]["adapted_causal"] == pytest.approx(100 * 7 / 16)
    assert figures["first_window"]["adapted"] == pytest.approx(100 * 5 / 8)
    assert figures["after_shift"]["static"] == pytest.approx([37.5, 37.5])
    assert figures["clean_harm"] == pytest.approx(25.0), "the worse of the two ways counts"
    assert figures["bytes_up"] == pytest.approx(700)
    assert figures["bytes_down"] == pytest.approx(48)
    assert figures["apply_us"]["p50"] == pytest.approx(60), "the shadow trial is a part of its own"
    assert figures["apply_us"]["parts"] == {"decode": 30, "check": 20, "trial": 40, "swap": 10}
    assert figures["prototypes"] == {"3": 4}
    assert figures["timeline"]["window"] == [0, 1]
    low, high = figures["intervals"]["adapted_minus_static"]
    assert low <= 25.0 <= high


def test_a_device_without_a_single_answer_has_figures_all_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "a", [same(2)], [True])
    silent = facts(asks=0, replies=0, latency_ms=None, apply_us=None, in_force="base", bytes_up=0, bytes_down=0)
    first, end = path.read_text().splitlines()
    path.write_text(json.dumps(json.loads(first) | {"same": silent, "causal": silent}) + "\n" + end)
    figures = stream_figures([path], [path])
    assert figures["bytes_up"] == figures["bytes_down"] == figures["latency_ms"]["p50"] == 0
    assert figures["prototypes"] == {}


def test_the_interval_of_equal_differences_is_a_point() -> None:
    low, high = paired_interval(np.full(8, 2.5), np.random.default_rng(0))
    assert low == high == pytest.approx(2.5)


@pytest.mark.parametrize("text", ["", '{"window": 0}\n', "not json\n"])
def test_records_that_end_early_are_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "shifting-0.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=r"shifting-0\.jsonl"):
        read_device(path)
