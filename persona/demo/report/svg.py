"""A matplotlib figure as SVG inside a page: same figure, same bytes; its ids clash with no other's."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from persona.demo.report.markup import Markup, tag, trusted

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

STYLE: dict[RcKeyType, object] = {
    "svg.hashsalt": "persona",  # else ids are random
    "svg.fonttype": "none",  # text stays text: the page's fonts, and a reader can search it
    "text.parse_math": False,
    "font.size": 9.0,
    "text.color": "#333333",
    "axes.edgecolor": "#999999",
    "axes.labelcolor": "#555555",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "xtick.color": "#999999",
    "ytick.color": "#999999",
    "xtick.labelcolor": "#555555",
    "ytick.labelcolor": "#555555",
}
SIZE_INCHES = (9.6, 3.5)

Draw = Callable[[Figure], None]


def draw_svg(name: str, label: str, draw: Draw) -> Markup:
    """Draw on a fresh figure and return it as an SVG element.

    `name` comes before each of its ids, so it must be the figure's alone; `label` is what a screen reader says.
    Settings that a user has for matplotlib do not show.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        figure = Figure(figsize=SIZE_INCHES)
        draw(figure)
        written = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(written, format="svg", metadata=nothing)
    return _inline(written.getvalue(), name, label)


def _inline(source: str, name: str, label: str) -> Markup:
    """Return a standalone SVG file as an element: no prologue, no metadata, no style that would leak into the page."""
    inside = source.partition("<svg ")[2].partition(">")[2].rpartition("</svg>")[0]
    for unwanted in (r"<metadata>.*?</metadata>", r"<style\b.*?</style>"):
        inside = re.sub(unwanted, "", inside, flags=re.DOTALL)
    inside = inside.replace("xlink:href=", "href=")
    inside = re.sub(r'(\bid="|\bhref="#|\burl\(#)', rf"\g<1>{name}-", inside)
    width, height = (inches * 72 for inches in SIZE_INCHES)  # matplotlib's SVG counts in points
    attributes = {"viewBox": f"0 0 {width:g} {height:g}", "role": "img", "aria_label": label}
    return tag("svg", trusted(inside), xmlns="http://www.w3.org/2000/svg", **attributes)
