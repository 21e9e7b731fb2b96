"""The demo as its user starts it: real processes, real HTTP, and a service that is killed in the middle."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(300)  # for whichever of them waits for the demo, on a machine that does much else


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Run the quick demo with an outage; its figures mean little, its mechanics are all there."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "persona", "demo", "--quick", "--kill-service", "--out", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return folder, json.loads((folder / "results.json").read_text())


def test_results_name_every_promised_figure(demo: tuple[Path, dict[str, Any]]) -> None:
    _, results = demo
    for row in ("static", "mean_edit", "adapted", "adapted_causal", "base"):
        assert 0 <= results["accuracy"][row] <= 100
    assert {"p50", "p99"} <= results["latency_ms"].keys()
    assert results["apply_us"]["p50"] > 0
    assert isinstance(results["clean_harm"], float)
    assert {"python", "persona-edge", "torch", "onnxruntime", "numpy"} == results["versions"].keys()
    assert results["seeds"] == {"train": 0, "stream": 7}


def test_an_adaptation_takes_few_bytes(demo: tuple[Path, dict[str, Any]]) -> None:
    _, results = demo
    assert results["bytes_up"] <= 1100
    assert results["bytes_down"] <= 128


def test_devices_never_import_torch_and_stay_small(demo: tuple[Path, dict[str, Any]]) -> None:
    _, results = demo
    assert len(results["devices"]) >= 8
    for device in results["devices"]:
        assert device["torch_imported"] is False
        assert device["rss_mb"] < 100


def test_devices_outlive_the_service_and_adapt_again(demo: tuple[Path, dict[str, Any]]) -> None:
    _, results = demo
    outage = results["outage"]
    assert outage["killed_at_window"] < outage["back_at_window"]
    assert outage["failed_requests"] > 0, "the outage was not felt, so this shows nothing"
    assert outage["adapted_again"] is True


def test_the_report_is_there_and_whole(demo: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = demo
    text = (folder / "report.html").read_text()
    assert text.rstrip().endswith("</html>")
    assert "<svg" in text


def test_what_the_demo_wrote_can_be_inspected(demo: tuple[Path, dict[str, Any]]) -> None:
    folder, results = demo
    command = [sys.executable, "-m", "persona", "inspect", "--json", str(folder / "bundle")]
    facts = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert facts["fingerprint"] == results["bundle"]["fingerprint"]
    assert [layer["name"] for layer in facts["layers"]] == ["norm1", "norm2", "norm3", "head"]
    assert len(facts["bank"]["prototypes"]) == results["bank_size"] == 16
