"""The plots of the page, as SVG that is the same for the same results: no dates, no random names, text as text."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from persona.bench.vision.intervals import Share, kept_share
from persona.bench.vision.recovery import since_shift
from persona.bench.vision.results import Stored
from persona.bench.vision.roles import OURS_ROW, PROTOTYPES, STATIC, is_ours, is_peer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOTS: Mapping[str, str] = {
    "shift": "Accuracy by window around a shift",
    "prototypes": "Gain kept with K prototypes, prior term off",
    "cost": "Accuracy against what a window costs the device",
}
WHOLE = f"{OURS_ROW}-no-prior"
BEFORE = 2  # windows shown before a shift
BEST_PEERS = 3
_STYLE: Any = {"svg.hashsalt": "persona", "svg.fonttype": "none", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}


def holds(stored: Stored, kind: str) -> bool:
    """Return whether there is something for a plot to show; draws nothing, so that it needs no extra."""
    return _DRAW[kind](stored) is not None


def plot(stored: Stored, kind: str) -> bytes | None:
    """Return one plot as SVG, None where the results do not hold what it shows."""
    draw = _DRAW[kind](stored)
    return None if draw is None else _svg(draw, PLOTS[kind])


def _svg(draw: Callable[[Axes], None], title: str) -> bytes:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 3.6), layout="tight")
        axes = figure.add_subplot()
        axes.set_title(title)
        draw(axes)
        out = io.BytesIO()
        FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _shift(stored: Stored) -> Callable[[Axes], None] | None:
    timings = stored.table.get("iid-seen", {"same": {}, "causal": {}})
    same, causal = timings["same"], timings["causal"]
    peers = sorted((name for name in same if is_peer(name) and name != STATIC), key=lambda name: -same[name].mean)
    wanted = [(OURS_ROW, same, "same window"), (OURS_ROW, causal, "causal"), (STATIC, same, "")]
    wanted += [(name, same, "same window") for name in peers[:BEST_PEERS]]
    lines = {" ".join(filter(None, (name, timing))): since_shift(cells[name], BEFORE)
             for name, cells, timing in wanted if name in cells}  # fmt: skip
    lines = {name: values for name, values in lines.items() if values.size}
    if not lines:
        return None

    def draw(axes: Axes) -> None:
        for name, values in lines.items():
            axes.plot(np.arange(len(values)) - BEFORE, values, marker="o", label=name)
        axes.axvline(-0.5, color="grey", linestyle=":")
        axes.set_xticks(np.arange(-BEFORE, max(len(values) for values in lines.values()) - BEFORE))
        _label(axes, "windows since the shift", "accuracy, iid-seen, %")

    return draw


def _prototypes(stored: Stored) -> Callable[[Axes], None] | None:
    curves: dict[str, list[tuple[int, Share]]] = {}
    for setting in ("iid-seen", "skew-seen"):
        cells = stored.table.get(setting, {}).get("same", {})
        if not {WHOLE, STATIC} <= set(cells):
            continue
        names = {k: f"{OURS_ROW}-k{k}-no-prior" for k in PROTOTYPES}
        whole, static = (cells[WHOLE], cells[STATIC]), cells[STATIC]
        shares = [(k, kept_share((cells[name], static), whole)) for k, name in names.items() if name in cells]
        if shares and shares[0][1].gain > 0:
            curves[setting] = shares
    if not curves:
        return None

    def draw(axes: Axes) -> None:
        for setting, shares in curves.items():
            ks, kept = zip(*shares, strict=True)
            bars = [[s.percent - s.low for s in kept], [s.high - s.percent for s in kept]]
            axes.errorbar(ks, [s.percent for s in kept], bars, marker="o", capsize=2, label=setting)
        axes.axhline(100, color="grey", linestyle="--", label="whole codes")
        axes.set_xscale("log", base=2)
        axes.set_xticks(PROTOTYPES, [str(k) for k in PROTOTYPES])
        _label(axes, "prototypes K", "gain over static kept, %")

    return draw


def _cost(stored: Stored) -> Callable[[Axes], None] | None:
    cells: Mapping[str, Any] = stored.table.get("iid-seen", {}).get("same", {})
    points = {
        name: (row["flops"] / 1e6, cells[name].mean)
        for name, row in sorted(stored.costs.items())
        if row.get("flops", 0) > 0 and name in cells
    }
    if not points:
        return None

    def draw(axes: Axes) -> None:
        for name, (cost, accuracy) in points.items():
            axes.scatter(cost, accuracy, color="C3" if is_ours(name) else "C0", s=16)
            axes.annotate(name, (cost, accuracy), xytext=(3, 3), textcoords="offset points", fontsize=7)
        axes.set_xscale("log")
        axes.set_xlabel("MFLOP a window on the device, adaptation included")
        axes.set_ylabel("accuracy, iid-seen, %")

    return draw


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(fontsize=7)


_DRAW: Mapping[str, Callable[[Stored], Callable[[Axes], None] | None]] = {
    "shift": _shift,
    "prototypes": _prototypes,
    "cost": _cost,
}
