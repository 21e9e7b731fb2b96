"""The targets of the vision benchmark, each with its figure, interval and verdict, from stored results alone.

A1 to A7, A9 and C5 are judged on the primary data set and net; A8 on PACS and CIFAR-10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from persona.bench.verdict import Judged, Missing, Verdict, verdict_of
from persona.bench.vision import judges
from persona.bench.vision.intervals import mean_interval
from persona.bench.vision.judges import Figures, Judge
from persona.bench.vision.results import Stored, load_results
from persona.bench.vision.roles import CORRUPTED, MAIN, ORACLE, OURS_ROW, PACS, PRIMARY, STATIC, is_peer
from persona.tasks.vision.shifts import FAMILIES

Target = tuple[str, str, Judge]  # number, what is asked, how it is judged
DELAYS = tuple(f"{OURS_ROW}-delay-{delay}" for delay in (2, 3, 5))


def stored_verdicts(results: Path) -> list[Verdict]:
    """Return every target's verdict; where nothing is stored, all are not measured.

    DataError where a stored file is damaged.
    """
    return verdicts(load_results(results) if any(results.glob("*/*/*.json")) else {})


def verdicts(stored: Mapping[str, Stored]) -> list[Verdict]:
    """Return a verdict for each part of A1 to A9, and C5."""
    primary = _figures(stored.get(PRIMARY))
    found = [_verdict(target, primary) for target in (*stream_targets(1), *_ADAPTATION)]
    found += _pacs(stored)
    cifar = {name.partition("/")[2]: _figures(one) for name, one in stored.items() if name.startswith("cifar10/")}
    for backbone, figures in (cifar or {"no net": Figures()}).items():
        for number, asked, judge in stream_targets(0.5):
            found.append(_verdict(("A8", f"CIFAR-10, {backbone}, {number}: {asked}", judge), figures))
    return [*found, *(_verdict(target, primary) for target in (*_CORRUPTED, _TRAINING))]


def stream_targets(scale: float) -> list[Target]:
    """Return A1 to A5 with their margins over other rows times `scale`; shares and tolerances stay as they are."""
    both = ("iid", "skew")
    return [
        ("A1", f"iid-seen: every peer + {7 * scale:g}", judges.over_best_peer("iid-seen", 7 * scale)),
        ("A1", f"iid-seen: static at equal compute + {9 * scale:g}", judges.over("iid-seen", STATIC, 9 * scale)),
        ("A1", f"iid-seen: 10th percentile, static + {14 * scale:g}",
         judges.low_decile_over_static("iid-seen", 14 * scale)),
        ("A1", "iid-seen: worst device ≥ every peer's", judges.worst_of_best_peer("iid-seen")),
        ("A2", f"skew-seen: every peer + {6 * scale:g}", judges.over_best_peer("skew-seen", 6 * scale)),
        ("A2", "skew-seen: worst device ≥ every peer's", judges.worst_of_best_peer("skew-seen")),
        *(("A3", f"{s}-seen, causal: keeps 95 % of the gain", judges.keeps(f"{s}-seen", (OURS_ROW,), "causal", 95))
          for s in both),
        *(("A3", f"{s}-seen: first window within 2 points", judges.first_window_within(f"{s}-seen", 2)) for s in both),
        *(("A3", f"{s}-seen, 2 to 5 windows late: keeps 85 %", judges.keeps(f"{s}-seen", DELAYS, "causal", 85))
          for s in both),
        ("A3", "gradual, causal: keeps 85 %", judges.keeps("gradual", (OURS_ROW,), "causal", 85)),
        *(("A4", f"{s}-held: α-BN + {4 * scale:g}", judges.over(f"{s}-held", "alpha-bn", 4 * scale)) for s in both),
        ("A4", "no single family below static − 0.3", judges.no_family_below(FAMILIES, 0.3)),
        ("A5", "clean: no harm", judges.over("clean", STATIC, 0)),
    ]  # fmt: skip


_ADAPTATION: Sequence[Target] = (
    *(("A6", f"{s}: {k} prototypes keep {least} %", judges.keeps(s, (f"{OURS_ROW}-k{k}",), "same", least))
      for k, least in ((64, 95), (16, 90)) for s in MAIN[:2]),
    *(("A6", f"{s}: the mean edit keeps nothing", judges.not_above_static(s, "mean-edit")) for s in MAIN[:2]),
    *(("A7", f"{s}: above labelled fine-tuning", judges.over(s, ORACLE, 0, strictly=True)) for s in MAIN[:2]),
    ("A7", "no backward pass on the device", judges.no_backward_pass),
)  # fmt: skip
_TRAINING: Target = ("C5", "a training step ≤ 3 × the plain net's", judges.training_step_within(3))
_CORRUPTED: Sequence[Target] = tuple(
    ("A9", f"{setting}: above ROID", judges.over(setting, "roid", 0, strictly=True)) for setting in CORRUPTED
)


def _figures(stored: Stored | None) -> Figures:
    return Figures() if stored is None else Figures(stored.table, stored.costs)


def _verdict(target: Target, figures: Figures) -> Verdict:
    number, asked, judge = target
    return verdict_of(number, asked, partial(judge, figures))


def _pacs(stored: Mapping[str, Stored]) -> list[Verdict]:
    """Return a verdict for each main setting that any of the four targets has ours in."""
    tables = {name: _figures(stored.get(name)) for name in PACS}
    settings = [s for s in MAIN if any(figures.has(s, OURS_ROW) for figures in tables.values())]
    return [
        _verdict(
            ("A8", f"PACS, {s}, mean of four: above static and every peer", partial(_over_all, tables, s)), Figures()
        )
        for s in settings or MAIN[-1:]
    ]


def _over_all(tables: Mapping[str, Figures], setting: str, _: Figures) -> Judged:
    missing = [name for name, figures in tables.items() if not figures.has(setting, OURS_ROW)]
    if missing:
        raise Missing(f"`{OURS_ROW}` in {setting} of {', '.join(missing)}")
    ours = {name: figures.cell(setting, OURS_ROW) for name, figures in tables.items()}
    peers = {name: figures.table[setting]["same"] for name, figures in tables.items()}
    rows = sorted({row for cells in peers.values() for row in cells if is_peer(row)})
    if not rows:
        raise Missing(f"any peer in {setting} of PACS")
    gains = {row: mean_interval([(ours[t], peers[t][row]) for t in tables if row in peers[t]]) for row in rows}
    best = min(rows, key=lambda row: gains[row].mean)
    gain = gains[best]
    everywhere = [row for row in rows if all(row in cells for cells in peers.values())]
    found = f"{gain.mean:+.2f} points over `{best}`"
    return Judged(found, f"[{gain.low:+.2f}, {gain.high:+.2f}]", gain.mean > 0, judges.not_run(everywhere))
