"""The five charts. Each function draws one on a figure; lines carry their names, so there is no legend to look up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from persona.demo.report.rows import BASE, CAUSAL, ROWS, STATIC, Results, Row
from persona.demo.report.units import mean, signed

BELOW_COLOUR = OTHER_COLOUR = "#B84E00"
LOSS_COLOURS = {"static": STATIC.colour, "base": BASE.colour, "adapter": CAUSAL.colour}
QUIET = "#767676"
LABEL_POINTS = 11.5  # height of a label of 9 points, with air
MOST_LABELLED = 24  # bars beyond which not each has its number


def draw_timeline(figure: Figure, results: Results) -> None:
    """Accuracy by window, mean over devices; dashes where the data shifts, a shade while the cloud was away."""
    timeline = results["timeline"]
    axes = _axes(figure, "window", "accuracy, %")
    for shift in timeline["shifts"]:
        axes.axvline(shift - 0.5, color="#bbbbbb", linewidth=0.8, dashes=(2, 2), zorder=0.5)
    _draw_rows(axes, timeline["window"], timeline)
    for shift in timeline["shifts"][:1]:
        axes.text(shift - 0.35, 0.985, "shift", color=QUIET, va="top", transform=axes.get_xaxis_transform())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _shade_outage(axes, results["outage"], len(timeline["window"]))


def draw_after_shift(figure: Figure, results: Results) -> None:
    """Accuracy by the number of windows since the last shift, the first being 1."""
    after = results["after_shift"]
    windows = range(1, 1 + max(len(after[row.key]) for row in ROWS))
    axes = _axes(figure, "window after a shift", "accuracy, %")
    _draw_rows(axes, windows, after, marker="o")
    axes.set_xticks(list(windows))


def draw_devices(figure: Figure, gains: Sequence[tuple[int, float]]) -> None:
    """One bar for each (device, points won over static), in the order given."""
    axes = _axes(figure, "device", "points above static", right=0.99)
    heights = [gain for _, gain in gains]
    colours = [CAUSAL.colour if height >= 0 else BELOW_COLOUR for height in heights]
    axes.bar(range(len(gains)), heights, width=0.72, color=colours)
    axes.axhline(0, color="#333333", linewidth=0.8)
    axes.spines.bottom.set_visible(False)
    step = math.ceil(len(gains) / MOST_LABELLED) or 1
    axes.set_xticks(range(0, len(gains), step), [str(device) for device, _ in gains][::step])
    axes.tick_params(axis="x", length=0)
    axes.margins(x=0.01, y=0.14)
    for at, height in enumerate(heights):
        if step == 1 or at in {0, len(heights) - 1}:
            above = height >= 0
            _note(axes, signed(height), (at, height), (0, 3 if above else -3), "bottom" if above else "top")


def draw_prototypes(figure: Figure, used: Sequence[tuple[str, int]], bank_size: int) -> None:
    """One bar for each (prototype, windows in use), in the order given; room is left for those never used."""
    axes = _axes(figure, "prototype", "windows in use", right=0.99)
    axes.bar(range(len(used)), [times for _, times in used], width=0.72, color=CAUSAL.colour)
    axes.set_xticks(range(len(used)), [name for name, _ in used])
    axes.tick_params(axis="x", length=0)
    axes.margins(y=0.14)
    axes.set_xlim(-0.6, max(bank_size, len(used)) - 0.4)
    for at, (_, times) in enumerate(used):
        _note(axes, f"{times:,}", (at, times), (0, 3), "bottom")
    idle = bank_size - len(used)
    if idle >= 3:  # room enough to write in
        middle = (len(used) + bank_size - 1) / 2
        _note(axes, f"{idle} never in use", (middle, 0), (0, 6), "bottom", QUIET)


def draw_training(figure: Figure, results: Results) -> None:
    """Loss by step: what was noted, faint, and its running mean, strong."""
    training = results["training"]
    axes = _axes(figure, "training step", "loss")
    ends: list[tuple[str, str, float]] = []
    furthest = 1
    for name, losses in training["losses"].items():
        if not losses:
            continue
        colour = LOSS_COLOURS.get(name, OTHER_COLOUR)
        last = training["steps"].get(name, len(losses))
        steps = [last * (at + 1) / len(losses) for at in range(len(losses))]
        smooth = running_mean(losses, len(losses) // 25)
        axes.plot(steps, losses, color=colour, linewidth=0.7, alpha=0.3)
        axes.plot(steps, smooth, color=colour, linewidth=1.8)
        ends.append((name, colour, smooth[-1]))
        furthest = max(furthest, last)
    axes.set_xlim(0, furthest)
    _label_ends(axes, ends)


def running_mean(values: Sequence[float], reach: int) -> list[float]:
    """Return at each place the mean of the values around it, `reach` to either side, fewer at the ends."""
    return [mean(values[max(0, at - reach) : at + reach + 1]) for at in range(len(values))]


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Return heights moved as little as needed for neighbours to be `gap` apart; their order stays."""
    order = sorted(range(len(heights)), key=lambda at: heights[at])
    groups: list[tuple[list[int], float]] = []  # (places in `heights`, height of the lowest)
    for at in order:
        members, lowest = [at], heights[at]
        while groups and groups[-1][1] + gap * len(groups[-1][0]) > lowest:
            members = groups.pop()[0] + members
            lowest = sum(heights[member] - gap * step for step, member in enumerate(members)) / len(members)
        groups.append((members, lowest))
    placed = dict.fromkeys(order, 0.0)
    for members, lowest in groups:
        placed.update({member: lowest + gap * step for step, member in enumerate(members)})
    return [placed[at] for at in range(len(heights))]


def _axes(figure: Figure, x_label: str, y_label: str, right: float = 0.815) -> Axes:
    """Return axes that leave room on the right for the names of lines."""
    axes = figure.subplots()
    height_points = figure.get_figheight() * 72
    figure.subplots_adjust(left=0.062, right=right, top=1 - 8 / height_points, bottom=36 / height_points)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.yaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10]))
    return axes


def _draw_rows(axes: Axes, xs: Sequence[float], series: Mapping[str, Sequence[float]], marker: str = "") -> None:
    """Draw a line for each row, the important ones on top, and name each at its end."""
    ends: list[tuple[str, str, float]] = []
    for order, row in enumerate(sorted(ROWS, key=lambda row: row.width)):
        values = series[row.key]
        if not values:
            continue
        _draw_row(axes, row, xs, values, marker, order)
        ends.append((row.name, row.colour, values[-1]))
    axes.margins(x=0.015, y=0.07)
    _label_ends(axes, ends)


def _shade_outage(axes: Axes, outage: Mapping[str, int | None] | None, n_windows: int) -> None:
    killed = None if outage is None else outage["killed_at_window"]
    if outage is None or killed is None:
        return
    back = outage["back_at_window"]
    end = n_windows if back is None else back
    shade = "#f1efe9"
    axes.axvspan(killed - 0.5, end - 0.5, color=shade, linewidth=0, zorder=0)
    box = {"facecolor": shade, "linewidth": 0, "pad": 1.5}  # over a dashed line it stays legible
    middle = (killed + end - 1) / 2
    axes.text(middle, 0.03, "cloud away", color=QUIET, ha="center", bbox=box, transform=axes.get_xaxis_transform())


def _draw_row(axes: Axes, row: Row, xs: Sequence[float], values: Sequence[float], marker: str, order: int) -> None:
    axes.plot(
        xs[: len(values)],
        values,
        color=row.colour,
        linewidth=row.width,
        linestyle=row.dashes,
        marker=marker,
        markersize=2 + row.width,
        zorder=2 + order,
    )


def _label_ends(axes: Axes, ends: Sequence[tuple[str, str, float]]) -> None:
    """Write (name, colour, height of the line's end) to the right of the axes, none over another."""
    ends = [end for end in ends if math.isfinite(end[2])]
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    figure = axes.figure
    points_high = axes.get_position().height * figure.bbox.height / figure.dpi * 72
    heights = spread([height for *_, height in ends], LABEL_POINTS * (high - low) / points_high)
    for (name, colour, _), height in zip(ends, heights, strict=True):
        axes.annotate(
            name,
            (1, height),
            xycoords=axes.get_yaxis_transform(),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            annotation_clip=False,
        )


def _note(
    axes: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], va: str, colour: str = "#333333"
) -> None:
    axes.annotate(text, at, xytext=offset, textcoords="offset points", ha="center", va=va, color=colour, fontsize=8)
