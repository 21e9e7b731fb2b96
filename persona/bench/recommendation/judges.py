"""The targets of recommendation, R1 to R6: each with its figure, interval and verdict, from stored results alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from persona.bench.recommendation.intervals import Estimate, Measure, losses_of, relative_gain, share_closed
from persona.bench.recommendation.plan import SYNTHETIC
from persona.bench.recommendation.summary import FRESH, RETURNING, Cell, Stored, load_results
from persona.bench.verdict import Judged, Missing, Verdict, verdict_of

PEERS = ("duet", "apg", "faithful")
BASES = {"ml-1m": (0.28, 0.16), "amazon_beauty": (0.085, 0.050)}
WANTED_SETS = 4  # data sets that R4 is about
LONG = "history ≥ 50"


Judge = Callable[[Stored], Judged]


def recommendation_verdicts(results: Path) -> list[Verdict]:
    """Return a verdict for each part of R1 to R6; where nothing is stored, all are not measured.

    DataError where a stored file is damaged.
    """
    return verdicts(load_results(results))


def verdicts(stored: Mapping[str, Stored]) -> list[Verdict]:
    """Return the verdicts on results by name, ``data/setting``."""
    found = [
        _judged("R1", f"{data}: HR@10 ≥ {hr}, NDCG@10 ≥ {ndcg}", stored.get(f"{data}/leave-one-out"), _base(hr, ndcg))
        for data, (hr, ndcg) in BASES.items()
    ]
    for data in _sets(stored, "users") or ["no data"]:
        one = stored.get(f"{data}/users")
        found += [_judged(number, f"{data}, unseen users: {asked}", one, judge) for number, asked, judge in _USERS]
    for data in _sets(stored, "stale") or ["no data"]:
        one = stored.get(f"{data}/stale")
        found += [_judged(number, f"{data}, stale base: {asked}", one, judge) for number, asked, judge in _STALE]
    found.append(_over_peers(stored))
    found += [_judged("R5", f"synthetic: {asked}", stored.get("synthetic/users"), judge) for asked, judge in _SWITCHES]
    return found


def gain_of(rows: tuple[str, str], least: float, segment: str | None = None, *, sure: bool = False) -> Judge:
    """The first row is `least` % above the second; if `sure`, its interval is above 0 as well."""

    def judge(stored: Stored) -> Judged:
        gain = relative_gain(stored, rows, None if segment is None else stored.segments[segment])
        return _relative(gain, f"`{rows[0]}` over `{rows[1]}`", gain.value >= least and (not sure or gain.low > 0))

    return judge


def within(rows: tuple[str, str], most: float) -> Judge:
    """The first row is within `most` % of the second, above or below."""

    def judge(stored: Stored) -> Judged:
        gain = relative_gain(stored, rows)
        return _relative(gain, f"`{rows[0]}` over `{rows[1]}`", abs(gain.value) <= most)

    return judge


def below(rows: tuple[str, str]) -> Judge:
    """The first row is below the second."""

    def judge(stored: Stored) -> Judged:
        gain = relative_gain(stored, rows)
        return _relative(gain, f"`{rows[0]}` over `{rows[1]}`", gain.value < 0)

    return judge


def closes(rows: tuple[str, str, str], least: float, measure: Measure = Cell.ndcg, segment: str | None = None) -> Judge:
    """The first row goes `least` % of the way from the second to the third."""

    def judge(stored: Stored) -> Judged:
        chosen = None if segment is None else stored.segments[segment]
        share = share_closed(stored, rows, chosen, measure)
        if math.isnan(share.value):
            return Judged("no gap to close", "", met=False)
        return Judged(f"{share.value:.0f} %", f"[{share.low:.0f}, {share.high:.0f}] %", share.value >= least)

    return judge


def keeps(row: str, most: float, least: float) -> Judge:
    """A row that asks for at most `most` % of the edits keeps `least` % of the gain of ours over the base."""
    gain = closes((row, "base", "ours"), least)

    def judge(stored: Stored) -> Judged:
        found = gain(stored)
        asked = 100 * float(stored.cells[row].figures["requests"].mean())
        spent = asked <= most + 0.5  # the first request of a stream that ends before it is paid for
        return Judged(f"{found.found} with {asked:.0f} % of the requests", found.interval, found.met and spent)

    return judge


_USERS: Sequence[tuple[str, str, Judge]] = (
    ("R2", "NDCG@10 + 5 %, significant", gain_of(("ours", "base"), 5, sure=True)),
    ("R2", "over the constant edit, significant", gain_of(("ours", "constant"), 0, sure=True)),
    ("R2", "over the base with more epochs, significant", gain_of(("ours", "base-more"), 0, sure=True)),
    ("R2", "over the base with as many parameters, significant", gain_of(("ours", "wider"), 0, sure=True)),
    ("R2", "the mean edit within 0.5 % of the base", within(("ours-mean", "base"), 0.5)),
    ("R2", "the shuffled edit below the base", below(("ours-shuffled", "base"))),
    ("R5", "no harm with fewer than 10 events", gain_of(("ours", "base"), -0.5, "history < 10")),
    ("R6", "30 % of the requests keep 90 % of the gain", keeps("ours-predicted-30", 30, 90)),
    ("R6", "closes 50 % of the gap to a window of 200", closes(("ours", "base", "ceiling"), 50)),
)
_STALE: Sequence[tuple[str, str, Judge]] = (
    ("R3", "the broadcast closes 75 % of the NDCG gap", closes(("broadcast", "base", "retrained"), 75)),
    ("R3", "the broadcast closes 90 % of the NLL gap", closes(("broadcast", "base", "retrained"), 90, losses_of)),
    ("R3", "personal on top, 50 or more events: + 2 %", gain_of(("ours", "broadcast"), 2, LONG)),
)  # fmt: skip

_SWITCHES: Sequence[tuple[str, Judge]] = (
    ("returning interests: 40 % of the gap to the oracle", closes(("ours", "base", "oracle"), 40, segment=RETURNING)),
    ("new interests: no harm", gain_of(("ours", "base"), -0.5, FRESH)),
)


def _base(hr: float, ndcg: float) -> Judge:
    def judge(stored: Stored) -> Judged:
        cell = stored.cells["base"]
        found = float(cell.hit().mean()), float(cell.ndcg().mean())
        return Judged(f"HR {found[0]:.4f}, NDCG {found[1]:.4f}", "", found[0] >= hr and found[1] >= ndcg)

    return judge


def _over_peers(stored: Mapping[str, Stored]) -> Verdict:
    """R4: at least 1 % over every peer, significant, on three of four data sets."""
    asked = "unseen users: over DUET, APG and the faithful recipe + 1 %, significant, on 3 of 4 data sets"
    judged, won = [], 0
    for data in _sets(stored, "users"):
        one = stored[f"{data}/users"]
        if not {"ours", *PEERS} <= set(one.cells):
            continue
        gains = {peer: relative_gain(one, ("ours", peer)) for peer in PEERS}
        least = min(gains, key=lambda peer: gains[peer].value)
        won += all(gain.value >= 1 and gain.low > 0 for gain in gains.values())
        judged.append(f"{data} {gains[least]} % over `{least}`")
    if won >= WANTED_SETS - 1:
        return Verdict("R4", asked, "; ".join(judged), "", "met")
    missed = len(judged) - won > 1  # of four, more than one lost
    return Verdict("R4", asked, "; ".join(judged) or "no result", "", "missed" if missed else "not measured")


def _judged(number: str, asked: str, stored: Stored | None, judge: Judge) -> Verdict:
    def judged() -> Judged:
        if stored is None:
            raise Missing("this setting")
        try:
            return judge(stored)
        except KeyError as error:
            raise Missing(f"{error}") from error

    return verdict_of(number, asked, judged)


def _sets(stored: Mapping[str, Stored], setting: str) -> list[str]:
    names = (name.partition("/") for name in stored)
    return sorted(data for data, _, found in names if found == setting and data != SYNTHETIC)


def _relative(gain: Estimate, what: str, met: bool) -> Judged:
    return Judged(f"{gain.value:+.2f} % {what}", f"[{gain.low:+.2f}, {gain.high:+.2f}] %", met)
