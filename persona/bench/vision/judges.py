"""How a target of the vision benchmark is judged: from cells to a figure, its interval, and whether it is met."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from persona.bench.verdict import Judged, Missing
from persona.bench.vision.intervals import (
    Difference,
    first_window_interval,
    kept_share,
    low_decile_interval,
    on_common,
    paired_interval,
)
from persona.bench.vision.prices import STEP_MS
from persona.bench.vision.roles import OURS_ROW, STATIC, WANTED_PEERS, is_peer
from persona.bench.vision.summary import Cell, Table


@dataclass(frozen=True)
class Figures:
    """One data set's cells and costs, with look-ups that say what is missing."""

    table: Table = field(default_factory=dict)
    costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def cell(self, setting: str, row: str, timing: str = "same") -> Cell:
        """Return a cell; Missing where it is not stored."""
        try:
            return self.table[setting][timing][row]
        except KeyError as error:
            raise Missing(f"`{row}` in {setting}, {timing}") from error

    def has(self, setting: str, row: str) -> bool:
        """Return whether a row is stored in a setting."""
        return row in self.table.get(setting, {}).get("same", {})

    def peers(self, setting: str) -> dict[str, Cell]:
        """Return the peers of a setting by name; Missing where there are none."""
        found = {name: c for name, c in self.table.get(setting, {}).get("same", {}).items() if is_peer(name)}
        if not found:
            raise Missing(f"any peer in {setting}")
        return found


Judge = Callable[[Figures], Judged]


def over_best_peer(setting: str, least: float) -> Judge:
    """Ours is `least` points above every peer, each on the devices that both cover."""

    def judge(figures: Figures) -> Judged:
        ours, peers = figures.cell(setting, OURS_ROW), figures.peers(setting)
        gains = {name: paired_interval(ours, peer) for name, peer in peers.items()}
        best = min(gains, key=lambda name: gains[name].mean)
        return _points(gains[best], f"over `{best}`", gains[best].mean >= least)._replace(unsure=not_run(peers))

    return judge


def worst_of_best_peer(setting: str) -> Judge:
    """Our worst device is not below the worst device of any peer."""

    def judge(figures: Figures) -> Judged:
        ours, peers = figures.cell(setting, OURS_ROW), figures.peers(setting)
        worsts = {name: tuple(cell.worst() for cell in on_common(ours, peer)) for name, peer in peers.items()}
        best = min(worsts, key=lambda name: worsts[name][0] - worsts[name][1])
        mine, other = worsts[best]
        return Judged(f"{mine:.1f} against {other:.1f} of `{best}`", "", mine >= other, not_run(peers))

    return judge


def over(setting: str, row: str, least: float, *, strictly: bool = False) -> Judge:
    """Ours is `least` points above a row; `strictly` more than that."""

    def judge(figures: Figures) -> Judged:
        gain = paired_interval(figures.cell(setting, OURS_ROW), figures.cell(setting, row))
        return _points(gain, f"over `{row}`", gain.mean > least if strictly else gain.mean >= least)

    return judge


def low_decile_over_static(setting: str, least: float) -> Judge:
    """The 10th percentile of our devices is `least` points above that of the static net at equal compute."""

    def judge(figures: Figures) -> Judged:
        gain = low_decile_interval(figures.cell(setting, OURS_ROW), figures.cell(setting, STATIC))
        return _points(gain, f"over `{STATIC}` at the 10th percentile", gain.mean >= least)

    return judge


def keeps(setting: str, rows: Sequence[str], timing: str, least: float) -> Judge:
    """Each of the rows in a timing keeps `least` % of what ours gains in the same window; the least kept is said."""

    def judge(figures: Figures) -> Judged:
        whole = figures.cell(setting, OURS_ROW), figures.cell(setting, STATIC)
        static = figures.cell(setting, STATIC, timing)
        shares = {row: kept_share((figures.cell(setting, row, timing), static), whole) for row in rows}
        least_kept = min(rows, key=lambda row: shares[row].percent)
        share = shares[least_kept]
        if share.gain <= 0:
            return Judged(f"no gain to keep ({share.gain:+.1f} points)", "", met=False)
        of = f"{share.percent:.1f} % of {share.gain:+.1f} points" + (f" (`{least_kept}`)" if len(rows) > 1 else "")
        return Judged(of, f"[{share.low:.1f}, {share.high:.1f}] %", share.percent >= least)

    return judge


def first_window_within(setting: str, most: float) -> Judge:
    """The causal first window after a shift is at most `most` points behind the same window's edit."""

    def judge(figures: Figures) -> Judged:
        ours, late = figures.cell(setting, OURS_ROW), figures.cell(setting, OURS_ROW, "causal")
        if not ours.first.any():
            raise Missing(f"a shift in {setting}")
        behind = first_window_interval(ours, late)
        return _points(behind, "behind the same window's edit", behind.mean <= most)

    return judge


def no_family_below(families: Iterable[str], most: float) -> Judge:
    """On no single family ours is more than `most` points below the static net."""

    def judge(figures: Figures) -> Judged:
        gains = {}
        for name in families:
            setting = f"family-{name}"
            gains[name] = paired_interval(figures.cell(setting, OURS_ROW), figures.cell(setting, STATIC))
        worst = min(gains, key=lambda name: gains[name].mean)
        return _points(gains[worst], f"on {worst}, the worst of {len(gains)}", gains[worst].mean >= -most)

    return judge


def not_above_static(setting: str, row: str) -> Judge:
    """A control gains nothing over the static net."""

    def judge(figures: Figures) -> Judged:
        gain = paired_interval(figures.cell(setting, row), figures.cell(setting, STATIC))
        return _points(gain, f"of `{row}` over `{STATIC}`", gain.mean <= 0)

    return judge


def no_backward_pass(figures: Figures) -> Judged:
    """A step of ours makes no backward pass on the device."""
    passes = figures.costs.get(OURS_ROW, {}).get("backward_passes")
    if passes is None:
        raise Missing(f"the costs of `{OURS_ROW}`")
    return Judged(f"{passes:.0f} backward passes a window", "", passes == 0)


def training_step_within(most: float) -> Judge:
    """A step that trains our adapter takes at most `most` times a step of the plain net, on as many pictures."""

    def judge(figures: Figures) -> Judged:
        rows = (OURS_ROW, STATIC)
        ours, plain = (figures.costs.get(row, {}).get(STEP_MS) for row in rows)
        if ours is None or plain is None:
            raise Missing("the time of a training step")
        return Judged(f"{ours / plain:.2f} times ({ours:.0f} against {plain:.0f} ms)", "", ours <= most * plain)

    return judge


def not_run(peers: Iterable[str]) -> str:
    """Return the wanted peers that are not among those, as words; "" where all are."""
    found = set(peers)
    return ", ".join(f"`{name}`" for name in WANTED_PEERS if name not in found)


def _points(gain: Difference, what: str, met: bool) -> Judged:
    return Judged(f"{gain.mean:+.2f} points {what}", f"[{gain.low:+.2f}, {gain.high:+.2f}]", met)
