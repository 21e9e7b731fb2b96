"""The recommendation demo as its user starts it, on a synthetic world: real processes, real HTTP, signed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Run the quick demo; its figures mean little, its mechanics are all there."""
    folder = tmp_path_factory.mktemp("demo")
    options = ["--world", "synthetic", "--quick", "--out", str(folder)]
    command = [sys.executable, "-m", "persona", "demo-recommendation", *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return folder, json.loads((folder / "results.json").read_text())


@pytest.mark.timeout(900)
def test_users_are_served_and_get_edits(demo: tuple[Path, dict[str, Any]]) -> None:
    _, results = demo
    assert results["users"] == 6
    assert results["all"]["queries"] == 24
    assert results["requests"] == 12
    assert results["answered"]["queries"] > 0
    for values in results["all"]["rows"].values():
        assert 0 <= values["NDCG@10"] <= values["HR@10"] <= 1


def test_messages_are_small(demo: tuple[Path, dict[str, Any]]) -> None:
    _, results = demo
    assert results["bytes_up"] <= 24 + 8 * 40  # 40 events at most, of item and age
    assert results["bytes_down"] <= 32


def test_devices_never_import_torch(demo: tuple[Path, dict[str, Any]]) -> None:
    _, results = demo
    assert [device["torch_imported"] for device in results["devices"]] == [False, False]
    assert all(device["rss_mb"] < 150 for device in results["devices"])


def test_small_item_vectors_keep_the_lists(demo: tuple[Path, dict[str, Any]]) -> None:
    _, results = demo
    assert results["storage"]["int8"]["overlap"] > 0.95
    assert results["storage"]["int8"]["bytes"] < 0.5 * results["storage"]["float32"]["bytes"]


def test_the_report_shows_lists_and_is_whole(demo: tuple[Path, dict[str, Any]]) -> None:
    folder, results = demo
    assert results["shown"]
    text = (folder / "report.html").read_text()
    assert text.rstrip().endswith("</html>")
    assert results["titles"][str(results["shown"][0]["lists"]["personal"][0])] in text
