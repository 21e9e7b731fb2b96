"""C1 and C2, and what a device's process may take, from stored figures alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from persona.bench.device.measure import read_figures
from persona.bench.verdict import Judged, Missing, Verdict, verdict_of

Figures = Mapping[str, Any]
BEST = "float32"


Judge = Callable[[Figures], Judged]
Target = tuple[str, str, Judge]  # number, what is asked, how it is judged


def device_verdicts(path: Path) -> list[Verdict]:
    """Return a verdict for each part of C1 and C2 from a stored file; DataError where it is damaged."""
    figures = read_figures(path)
    return [verdict_of(number, asked, partial(_judged, judge, figures)) for number, asked, judge in TARGETS]


def _judged(judge: Judge, figures: Figures | None) -> Judged:
    if figures is None:
        raise Missing("a device: run `persona bench device --out`")
    return judge(figures)


def _apply_within(most_us: float) -> Judge:
    def judge(figures: Figures) -> Judged:
        us = figures["apply"]["in_all_us"]
        return Judged(f"{us:.0f} µs", "", us <= most_us)

    return judge


def _apply_of_tent(figures: Figures) -> Judged:
    share = figures["apply"]["of_tent"]
    return Judged(f"1/{1 / share:.0f} of {figures['apply']['tent_us']:.0f} µs", "", share <= 1 / 15)


def _inference(figures: Figures) -> Judged:
    ratios = {batch: row["ratio"] for batch, row in figures["inference"].items()}
    worst = max(ratios, key=lambda batch: ratios[batch])
    return Judged(f"{ratios[worst]:.3f}× at batch {worst}", "", ratios[worst] <= 1.05)


def _memory(figures: Figures) -> Judged:
    ratio = figures["footprint"]["edited_of_baked"]
    if ratio is None:
        raise Missing("memory: this system does not say it")
    return Judged(f"{ratio:.3f}×", "", ratio <= 1.1)


def _down(codec: str, most: int) -> Judge:
    def judge(figures: Figures) -> Judged:
        size, signed = figures["codecs"]["down_bytes"][codec], figures["codecs"]["down_signed_bytes"][codec]
        return Judged(f"{signed} B signed, of which the message is {size}", "", signed <= most)

    return judge


def _up(figures: Figures) -> Judged:
    size, signed = figures["codecs"]["up_bytes"], figures["codecs"]["up_signed_bytes"]
    return Judged(f"{signed:,} B signed for, of which the message is {size:,}", "", signed <= 1100)


def _parts(figures: Figures) -> Judged:
    sizes = figures["codecs"]["part_bytes"]
    share = (sizes["decoder"] + sizes["bank"]) / sizes["model"]
    return Judged(f"{share:.2f}× of {sizes['model']:,} B", "", share <= 2)


def _gain(codec: str) -> Judge:
    def judge(figures: Figures) -> Judged:
        accuracy = figures["codecs"]["accuracy"]
        if accuracy is None:
            raise Missing("accuracy: measure a trained bundle with its encoder")
        best = accuracy[BEST] - accuracy["base"]
        if best <= 0:
            return Judged(f"no gain to keep ({best:+.1f} points)", "", met=False)
        share = 100 * (accuracy[codec] - accuracy["base"]) / best
        return Judged(f"{share:.1f} % of {best:+.1f} points", "", share >= 95)

    return judge


def _import(figures: Figures) -> Judged:
    seconds = figures["footprint"]["import_s"]
    return Judged(f"{seconds:.2f} s", "", seconds < 0.5)


def _resident(figures: Figures) -> Judged:
    peaks = figures["footprint"]["peak_mb"]
    worst = peaks["device with cloud"]
    if worst is None:
        raise Missing("memory: this system does not say it")
    return Judged(f"{worst:.1f} MB with a cloud, {peaks['device']:.1f} MB without", "", worst < 80)


TARGETS: Sequence[Target] = (
    ("C1", "apply an edit (verify, decode, check, swap): ≤ 300 µs", _apply_within(300)),
    ("C1", "apply an edit: ≤ 1/15 of a step of TENT", _apply_of_tent),
    ("C1", "inference: ≤ 1.05× the graph without edits", _inference),
    ("C1", "memory: ≤ 1.1× the process without edits", _memory),
    ("C1", "import of the device half: < 0.5 s", _import),
    ("C1", "resident memory of a device: < 80 MB", _resident),
    ("C2", "down, prototype and residual in float16: ≤ 128 B", _down("float16", 128)),
    ("C2", "down, prototype alone: ≤ 16 B", _down("prototype", 16)),
    ("C2", "up, a sketch: ≤ 1.1 kB", _up),
    ("C2", "decoder and bank: ≤ 2× the device model", _parts),
    ("C2", "residual in float16 keeps ≥ 95 % of the best edit's gain", _gain("float16")),
)
