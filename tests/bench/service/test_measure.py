"""C3's benchmark: figures are judged as they are, a busy machine is none, and a real process is measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from persona.bench.service.judges import service_verdicts
from persona.bench.service.measure import measure, read_figures
from persona.bundle import write_export
from persona.errors import DataError
from tests.service.graphs import sketch_encoder
from tests.tiny_bundles import tiny_bundle

FIGURES: dict[str, Any] = {
    "load": 0.1, "cpu_ms": 0.3, "requests_per_s": 3000, "half_load": {"requests_per_s": 1500, "p99_ms": 50}
}  # fmt: skip


def outcomes(tmp_path: Path, **changes: Any) -> list[str]:
    path = tmp_path / "service.json"
    path.write_text(json.dumps({**FIGURES, **changes}))
    return [verdict.outcome for verdict in service_verdicts(path)]


def test_figures_at_their_limits_meet_every_target(tmp_path: Path) -> None:
    assert outcomes(tmp_path) == ["met"] * 3


@pytest.mark.parametrize(
    ("change", "place"),
    [({"cpu_ms": 0.31}, 0), ({"requests_per_s": 2999}, 1), ({"half_load": {"requests_per_s": 9, "p99_ms": 51}}, 2)],
)
def test_a_figure_beyond_its_limit_misses_its_target_alone(tmp_path: Path, change: dict[str, Any], place: int) -> None:
    found = outcomes(tmp_path, **change)
    assert found.pop(place) == "missed"
    assert found == ["met", "met"]


def test_nothing_stored_or_a_busy_machine_is_nothing_measured(tmp_path: Path) -> None:
    assert outcomes(tmp_path, load=1.5) == ["not measured"] * 3
    assert {verdict.outcome for verdict in service_verdicts(tmp_path / "none.json")} == {"not measured"}


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps({**FIGURES, "load": "low"})])
def test_a_damaged_file_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "service.json").write_text(text)
    with pytest.raises(DataError, match="damaged"):
        read_figures(tmp_path / "service.json")


@pytest.mark.slow
def test_a_real_process_is_measured(tmp_path: Path) -> None:
    write_export(tmp_path, tiny_bundle(), sketch_encoder())
    figures = measure(tmp_path, seconds=1.0)
    assert figures["cpu_ms"] > 0
    assert figures["half_load"]["p99_ms"] >= figures["half_load"]["p50_ms"] > 0
