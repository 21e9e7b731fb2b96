"""The report: alone on its page, the same each time, and as plain about a loss as about a win."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from rich.console import Console

from persona.demo.report import summary_table, write_report
from persona.demo.report.charts import running_mean, spread
from persona.demo.report.tables import losing_table
from persona.demo.report.words import loss_sentences, outage_sentences, statement, validation_sentence
from tests.demo.example_results import ROWS, example_results

HOSTILE = "</style><script src=x>alert(1)</script>\"'& $\\frac{"
VOID = {"meta"}
OUTAGE = {
    "killed_at_window": 8,
    "back_at_window": 14,
    "failed_requests": 30,
    "device_errors": 0,
    "adapted_again": True,
}


class Page(HTMLParser):
    """Reads a page: its tags balance or it raises, and it keeps what a reader and a browser would see."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.text = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.handle_startendtag(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.ids += [value or ""] if name == "id" else []
            self.references += [value or ""] if name in {"href", "src", "xlink:href"} else []
            self.references += re.findall(r"url\(([^)]*)\)", value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open and "svg" not in self.open:
            self.text += f"{data} "


def written(results: dict[str, Any], folder: Path) -> str:
    write_report(results, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the example, written once."""
    return written(json.loads(json.dumps(example_results())), tmp_path_factory.mktemp("usual"))


def page_text(source: str) -> str:
    return " ".join(Page(source).text.replace("\u00a0", " ").split())


def summary(results: dict[str, Any]) -> str:
    console = Console(width=140)
    with console.capture() as captured:
        console.print(summary_table(results))
    return captured.get().replace("\u00a0", " ")


def losing_results() -> dict[str, Any]:
    """Results in which the adapted rows are below static in everything."""
    results = example_results()
    for scores in (results["accuracy"], results["clean"], results["first_window"], results["validation"]):
        scores["adapted"] = scores["adapted_causal"] = scores["static"] - 4.0
    for lines in (results["after_shift"], results["timeline"]):
        lines["adapted"] = lines["adapted_causal"] = [value - 4.0 for value in lines["static"]]
    for device in results["devices"]:
        device["accuracy"]["adapted_causal"] = device["accuracy"]["static"] - 4.0
    results["clean_harm"] = 4.0
    results["intervals"] = {"adapted_minus_static": [-5.0, -3.0], "adapted_causal_minus_static": [-5.5, -2.5]}
    return results


def empty_results() -> dict[str, Any]:
    """Results of a run in which nothing happened."""
    results = example_results()
    results["devices"], results["prototypes"] = [], {}
    results["after_shift"] = {row: [] for row in ROWS}
    results["timeline"] = {"window": [], "shifts": [], **{row: [] for row in ROWS}}
    results["training"] = {"steps": {}, "losses": {"static": [], "adapter": []}, "code_shares": []}
    results["bytes_up"] = results["latency_ms"]["p50"] = 0.0
    return results


def test_the_page_says_the_figures(usual: str) -> None:
    text = page_text(usual)
    for figure in ("68.0 %", "+7.9 points", "+6.1 to +9.4", "48 bytes", "90 µs", "3.0 ms", "0.1 points", "39,538"):
        assert figure in text
    assert "Of 12 devices, 10 are above static, 0 level and 2 below" in text
    assert "8 of the 16 prototypes" in text
    assert "number 5, the most used, in 25.8 %" in text


def test_the_terminal_says_the_headlines_of_the_page(usual: str) -> None:
    text, shown = page_text(usual), summary(example_results())
    rows = [re.split(r"\s{2,}", line.strip()) for line in shown.splitlines()[2:] if line.strip()]
    assert len(rows) == 6
    for label, value, note in rows:
        assert f"{label} {value} {note}" in text


def test_the_page_needs_nothing_else(usual: str) -> None:
    page = Page(usual)
    assert usual.count("://") == usual.count('xmlns="http://www.w3.org/2000/svg"') == 5
    assert not {"script", "link", "img", "iframe", "object", "base"} & set(page.tags)
    assert "@import" not in usual
    assert "@font-face" not in usual
    assert page.references
    assert {reference.removeprefix("#") for reference in page.references} <= set(page.ids)


def test_ids_are_unique(usual: str) -> None:
    ids = Page(usual).ids
    assert len(ids) > 100
    assert len(set(ids)) == len(ids)


def test_the_same_results_give_the_same_bytes_whatever_a_users_settings(usual: str, tmp_path: Path) -> None:
    with mpl.rc_context({"svg.hashsalt": "other", "font.size": 20, "axes.grid": False, "text.usetex": True}):
        assert written(example_results(), tmp_path) == usual
        assert mpl.rcParams["font.size"] == 20


def test_texts_of_the_results_are_escaped(tmp_path: Path) -> None:
    results = example_results()
    results["devices"][8]["domains"] = [HOSTILE]
    results["machine"]["processor"] = results["bundle"]["fingerprint"] = HOSTILE
    results["versions"] = results["seeds"] = {HOSTILE: HOSTILE}
    results["prototypes"] = {HOSTILE: 3}
    results["training"]["losses"] = {HOSTILE: [1.0, 0.5]}
    results["apply_us"]["parts"] = results["seconds"] = {HOSTILE: 1.0, "total": 2.0}
    source = written(results, tmp_path)
    page = Page(source)
    assert "<script" not in source
    assert "script" not in page.tags
    assert page.tags.count("style") == 1
    assert page.text.count(HOSTILE) >= 8


def test_a_loss_is_said_as_a_loss(tmp_path: Path) -> None:
    results = losing_results()
    text = page_text(written(results, tmp_path))
    assert "56.1 % of the samples, 4.0 points below a static model" in text
    assert "95 % interval −5.5 to −2.5" in text
    assert "adapted (causal) is above static in 0, level in 0 and below in 20" in text
    assert "adapted (causal) is at 56.1 %, 4.0 points below static; in window 5" in text
    assert "Of 12 devices, 0 are above static, 0 level and 12 below" in text
    assert "Devices: with adapted (causal), 12 of 12 are below static, by 4.0 points at most." in text
    assert "After a shift: adapted (causal) is below static in window 1, 2, 3, 4, 5." in text
    assert "adapted (same window) is 4.0 points below static and adapted (causal) is 4.0 points below static" in text
    assert not re.search(r"adapted \([a-z ]*\) is [\d.]+ points above", text)
    assert "static 60.1 %: −4.0 points" in summary(results)


def test_a_win_everywhere_leaves_no_losing_device() -> None:
    results = example_results()
    for device in results["devices"]:
        device["accuracy"]["adapted_causal"] = device["accuracy"]["static"] + 1.0
    results["clean_harm"] = -0.2
    assert loss_sentences(results)[0] == "Devices: with adapted (causal), 0 of 12 are below static."
    assert "After a shift: adapted (causal) is below static in no window." in loss_sentences(results)
    assert losing_table(results) == ""
    assert re.search("Lost on unshifted data +nothing", summary(results))


@pytest.mark.parametrize(
    ("difference", "bounds", "said"),
    [
        (0.6, [-0.2, 1.4], "0.6\u00a0points above a static model"),
        (0.6, [-0.2, 1.4], "which does not tell the two apart"),
        (0.0, [-0.5, 0.5], "level with a static model"),
        (0.04, [-0.5, 0.5], "level with a static model"),
        (-0.06, [-0.2, -0.01], "0.1\u00a0points below a static model"),
        (math.nan, [math.nan, math.nan], "not comparable with a static model"),
    ],
)
def test_differences_are_said_as_large_as_they_are(difference: float, bounds: list[float], said: str) -> None:
    results = example_results()
    results["accuracy"]["adapted_causal"] = results["accuracy"]["static"] + difference
    results["intervals"]["adapted_causal_minus_static"] = bounds
    assert said in statement(results)[2]


def test_devices_that_loaded_torch_are_counted() -> None:
    results = example_results()
    assert "no device loaded torch" in statement(results)[1]
    results["devices"][0]["torch_imported"] = True
    assert "1\u00a0device loaded torch" in statement(results)[1]


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({}, "the gain needs an edit of the device's own"),
        ({"mean_edit": 64.3}, "a control keeps 50.0\u00a0% of the gain"),
        ({"shuffled_edit": 69.4}, "a control keeps 100.0\u00a0% of the gain"),
        ({"adapted_causal": 59.2}, "level with the unedited base: no gain to explain"),
        ({"adapted_causal": 50.2}, "9.0\u00a0points below the unedited base: no gain to explain"),
    ],
)
def test_the_controls_judge_the_gain(scores: dict[str, float], said: str) -> None:
    results = example_results()
    results["validation"].update(scores)
    assert said in validation_sentence(results)


@pytest.mark.parametrize(
    ("outage", "said"),
    [
        ({}, "killed at window 8 and came back at window 14. | No prediction failed | 30 requests | Every device"),
        ({"back_at_window": None, "adapted_again": False}, "and did not come back. | No | 30 | Not every device"),
        ({"killed_at_window": None, "back_at_window": None}, "ended before the cloud could be killed. | No | 30 | E"),
        (
            {"device_errors": 1, "failed_requests": 1},
            "window 14. | 1 prediction failed on the devices. | 1 request | Every",
        ),
    ],
)
def test_an_outage_is_told(outage: dict[str, Any], said: str) -> None:
    results = example_results()
    results["outage"] = {**OUTAGE, **outage}
    for sentence, part in zip(outage_sentences(results), said.split(" | "), strict=True):
        assert part in sentence.replace("\u00a0", " ")


def test_the_page_has_a_part_on_an_outage_where_there_was_one(usual: str, tmp_path: Path) -> None:
    assert "Without the cloud" not in page_text(usual)
    text = page_text(written({**example_results(), "outage": {**OUTAGE, "back_at_window": None}}, tmp_path))
    assert "Without the cloud The cloud was killed at window 8 and did not come back." in text


def test_of_what_was_not_recorded_the_page_says_so(tmp_path: Path) -> None:
    source = written(empty_results(), tmp_path)
    text = page_text(source)
    assert source.count("<svg") == 5
    for said in ("No window", "No shift", "No device", "No loss"):
        assert f"{said} was recorded." in text
    assert "None of the 16 prototypes was in use." in text


def test_many_devices_keep_the_chart_legible(tmp_path: Path) -> None:
    results = example_results()
    results["devices"] = [{**results["devices"][i % 12], "device": i} for i in range(64)]
    source = written(results, tmp_path)
    chart = source[source.index("device by device") : source.index("Prototypes in use")]
    assert chart.count("<text") < 45
    assert "Of 64 devices" in page_text(source)


@pytest.mark.parametrize(
    ("heights", "placed"),
    [
        ([], []),
        ([3.0], [3.0]),
        ([0.0, 5.0], [0.0, 5.0]),
        ([1.0, 1.0], [0.5, 1.5]),
        ([5.0, 0.2, 0.0], [5.0, 0.6, -0.4]),
        ([0.0, 0.9, 1.0], [-0.3666667, 0.6333333, 1.6333333]),
    ],
)
def test_labels_make_room_for_one_another(heights: list[float], placed: list[float]) -> None:
    assert spread(heights, 1.0) == pytest.approx(placed)


def test_a_running_mean_uses_what_lies_around() -> None:
    assert running_mean([0.0, 3.0, 6.0, 0.0], 1) == [1.5, 3.0, 3.0, 3.0]
    assert running_mean([2.0, 4.0], 0) == [2.0, 4.0]
