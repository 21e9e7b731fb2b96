"""The device's benchmark runs, and what it stores is judged and written down as it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from persona.bench.device.applying import applying
from persona.bench.device.bundles import untrained_bundle
from persona.bench.device.codecs import codecs
from persona.bench.device.exchange import Exchange
from persona.bench.device.judges import TARGETS, device_verdicts
from persona.bench.device.measure import read_figures
from persona.bench.device.page import write_device_page
from persona.bench.device.tables import rows_of
from persona.bench.device.timing import WARM_UP, interleaved
from persona.bundle import Bundle
from persona.errors import DataError, TrustError
from persona.wire import AdaptReply
from tests.bench.device.figures import FIGURES, stored


def outcomes(path: Path) -> list[str]:
    return [verdict.outcome for verdict in device_verdicts(path)]


def test_figures_at_their_limits_meet_every_target(tmp_path: Path) -> None:
    assert outcomes(stored(tmp_path)) == ["met"] * len(TARGETS)


def test_nothing_stored_is_nothing_measured(tmp_path: Path) -> None:
    assert set(outcomes(tmp_path / "none.json")) == {"not measured"}


@pytest.mark.parametrize(
    ("change", "value", "asked"),
    [
        ("apply__in_all_us", 301.0, "≤ 300 µs"),
        ("apply__of_tent", 0.07, "1/15"),
        ("inference__32__ratio", 1.06, "1.05×"),
        ("footprint__edited_of_baked", 1.2, "1.1×"),
        ("footprint__import_s", 0.5, "0.5 s"),
        ("footprint__peak_mb", {**FIGURES["footprint"]["peak_mb"], "device with cloud": 80.0}, "80 MB"),
        ("codecs__down_signed_bytes__float16", 129, "128 B"),
        ("codecs__down_signed_bytes__prototype", 17, "16 B"),
        ("codecs__up_signed_bytes", 1101, "1.1 kB"),
        ("codecs__part_bytes__decoder", 1501, "2×"),
        ("codecs__accuracy__float16", 69.4, "95 %"),
        ("codecs__accuracy__float32", 59.0, "95 %"),
    ],
)
def test_a_figure_beyond_its_limit_misses_its_target_alone(tmp_path: Path, change: str, value: Any, asked: str) -> None:
    missed = [verdict for verdict in device_verdicts(stored(tmp_path, **{change: value})) if verdict.outcome != "met"]
    assert [verdict.outcome for verdict in missed] == ["missed"]
    assert asked in missed[0].asked


@pytest.mark.parametrize("change", ["codecs__accuracy", "footprint__edited_of_baked"])
def test_what_was_not_measured_is_said(tmp_path: Path, change: str) -> None:
    assert outcomes(stored(tmp_path, **{change: None})).count("not measured") == 1


@pytest.mark.parametrize("text", ["{", "[]", '{"apply": 1}'])
def test_a_damaged_file_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "device.json").write_text(text)
    with pytest.raises(DataError, match=r"device\.json"):
        read_figures(tmp_path / "device.json")


def test_the_page_shows_every_figure_and_verdict(tmp_path: Path) -> None:
    write_device_page(stored(tmp_path), tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    for word in ("250.0", "0.030 %", "1.040", "69.90", "128", "78.0 MB", "**met**", "0123456789ab", "load", "TENT"):
        assert word in page, word
    with pytest.raises(DataError, match="holds no results"):
        write_device_page(tmp_path / "none.json", tmp_path / "page.md")


def test_ways_take_turns_and_the_warm_up_does_not_count() -> None:
    def ticks() -> Iterator[float]:
        now = 0.0
        while True:
            yield now
            now += 1e-6

    clock = ticks()
    calls: list[str] = []
    ways = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    assert interleaved(ways, 3, lambda: next(clock)) == pytest.approx({"a": 1.0, "b": 1.0})
    assert calls == ["a", "b"] * (3 + WARM_UP)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return untrained_bundle()


def test_every_part_is_measured_and_replies_are_signed(bundle: Bundle) -> None:
    figures = applying(bundle, 3, iter(range(10**6)).__next__)
    assert {"verify_and_read_us", "decode_us", "check_us", "swap_us", "in_all_us", "tent_us"} <= figures.keys()
    found = codecs(bundle, None, 1)
    assert found["accuracy"] is None
    assert found["down_bytes"] == {"float32": 80, "float16": 48, "int8": 36, "prototype": 16}
    assert found["down_signed_bytes"] == {codec: size + 64 for codec, size in found["down_bytes"].items()}
    assert found["up_signed_bytes"] == found["up_bytes"] + 8
    assert set(found["whole_edits"]) >= {"float32", "float16", "int8"}
    assert len(list(rows_of({**FIGURES, "codecs": found}))) == 6


def test_a_reply_that_is_not_signed_for_this_exchange_is_not_applied(bundle: Bundle) -> None:
    reply = AdaptReply(bundle.fingerprint, 0, bundle.bank.version, 600)
    with pytest.raises(TrustError):
        Exchange.of(bundle).open(Exchange.of(bundle).seal(reply))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_command_measures_stores_and_shows(tmp_path: Path) -> None:
    out = tmp_path / "device.json"
    command = [sys.executable, "-m", "persona", "bench", "device", "--quick", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "TENT" in done.stdout
    figures = read_figures(out)
    assert figures is not None
    assert figures["footprint"]["import_s"] > 0
    missed = [v.asked for v in device_verdicts(out) if v.target == "C2" and v.outcome == "missed"]
    assert missed == ["down, prototype alone: ≤ 16 B", "up, a sketch: ≤ 1.1 kB"], "by the signature, and by the nonce"
