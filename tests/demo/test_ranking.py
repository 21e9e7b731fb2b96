"""The recommendation demo's figures, plans and page, from records whose answer is known by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from persona.demo.ranking.figures import by_user, ranking_figures
from persona.demo.ranking.fleet import shift_of, spread
from persona.demo.ranking.plan import RankingPlan, UserPlan
from persona.demo.ranking.report import ranking_html, summary_of
from persona.errors import DataError

USER = UserPlan("<i>", [1, 2, 3], [10, 20, 30], 1, [2])


def query(user: str, in_force: str, **ranks: float) -> dict[str, Any]:
    return {"user": user, "events": 3, "ranks": ranks, "in_force": in_force}


def end(user: str, asks: int, reason: str = "") -> dict[str, Any]:
    said = {"in_force": "base", "asks": asks, "replies": asks, "refused": int(bool(reason)), "reason": reason}
    return {"user": user, "end": {**said, "bytes_up": 300 * asks, "bytes_down": 48 * asks}}


LISTS = {
    "user": "<i>",
    "at": 2,
    "met": [1, 2],
    "next": [3],
    "lists": {"base": [3, 1], "broadcast": [1], "personal": []},
}
CLOSING = {"rss_mb": 60.0, "torch_imported": False}


def written(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def figures(tmp_path: Path) -> dict[str, Any]:
    one = written(
        tmp_path / "a.jsonl",
        query("a", "base", base=11, broadcast=1, personal=1),
        query("a", "prototype 0 + residual", base=1, broadcast=1, personal=3),
        end("a", 1),
        CLOSING,
    )
    two = written(
        tmp_path / "b.jsonl", LISTS, end("<i>", 0, "2 events are too few"), end("c", 0, "3 events are too few"), CLOSING
    )
    return ranking_figures([one, two], np.random.default_rng(0))


def test_figures_by_hand(figures: dict[str, Any]) -> None:
    assert figures["all"]["rows"]["base"] == {"HR@10": 0.5, "NDCG@10": 0.5}
    assert figures["all"]["rows"]["broadcast"] == {"HR@10": 1.0, "NDCG@10": 1.0}
    assert figures["all"]["rows"]["personal"] == {"HR@10": 1.0, "NDCG@10": pytest.approx(0.75)}
    assert figures["all"]["differences"]["broadcast - base"]["HR@10"][0] == 0.5
    assert figures["answered"]["queries"] == 1
    assert figures["answered"]["rows"]["personal"]["NDCG@10"] == pytest.approx(0.5)
    assert (figures["users"], figures["requests"], figures["refused"]) == (3, 1, 2)
    assert (figures["bytes_up"], figures["bytes_down"]) == (300, 48)
    assert figures["reasons"] == {"# events are too few": 2}
    assert figures["shown"] == [LISTS]


def test_records_that_end_early(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="end after 1 lines"):
        ranking_figures([written(tmp_path / "a", end("a", 1))], np.random.default_rng(0))
    with pytest.raises(DataError, match="cannot be read"):
        ranking_figures([tmp_path / "none"], np.random.default_rng(0))
    with pytest.raises(DataError, match="no device ranked"):
        ranking_figures([written(tmp_path / "b", CLOSING)], np.random.default_rng(0))


def test_intervals_are_over_users() -> None:
    """A thousand queries of one user are one user."""
    differences = np.concatenate([np.ones(1000), -np.ones(10)])
    users = np.concatenate([np.zeros(1000, np.intp), np.arange(1, 11)])
    mean, low, high = by_user(differences, users, np.random.default_rng(0))
    assert mean == pytest.approx(990 / 1010)
    assert low == -1
    assert high > 0.98


def test_where_interests_shift() -> None:
    vectors = np.repeat(np.eye(2, dtype=np.float32), 6, axis=0)
    assert shift_of(vectors, 0, 3) == (6, 1.0)
    assert shift_of(vectors, 9, 3) == (9, 0.0)
    assert shift_of(np.zeros((12, 2), np.float32), 0, 3) == (0, 0.0)


def test_plans_travel_whole(tmp_path: Path) -> None:
    plan = RankingPlan("http://x", "out", "items", "stale", "root", 20, [USER])
    plan.write(tmp_path / "home" / "plan.json")
    assert RankingPlan.read(tmp_path / "home" / "plan.json") == plan
    assert [len(part) for part in spread([USER] * 5, 2)] == [3, 2]


def test_the_page_says_what_was_found(figures: dict[str, Any]) -> None:
    results = {
        **figures,
        "world": "synthetic",
        "log": {"events": 90, "users": 9, "items": 3},
        "titles": {"1": "Tea & Co", "2": "<script>", "3": "Ham"},
        "storage": {"int8": {"bytes": 10, "NDCG@10": 0.5, "overlap": 0.995}},
        "bundle": {"fingerprint": "f" * 64, "device_bytes": 1, "items_bytes": 2, "cloud_bytes": 3, "edit": 4},
        "every": 20,
        "quick": True,
        "seed": 0,
        "seconds": {"total": 3.0},
        "versions": {"numpy": "2"},
    }
    text = ranking_html(results)
    assert text.endswith("</html>\n")
    assert "<script>" not in text
    assert "<i>" not in text
    for said in ("Tea &amp; Co", "99.5 %", "figures mean little", "none with torch", "# events are too few"):
        assert said in text
    assert summary_of(results).row_count == 6
    assert "No user" in ranking_html({**results, "shown": [], "answered": None})


def test_a_device_process_loads_no_torch() -> None:
    code = "import sys, persona.demo.ranking.device; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
