"""The five ways of predicting that every table and chart compares, and how each is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Results = Mapping[str, Any]  # what the demo measured; accuracies in percent, differences in points


@dataclass(frozen=True)
class Row:
    """One way of predicting: its key in the results, its name, a shorter one, what it is, and its line in a chart.

    The colours are of the Okabe-Ito set, darkened until they can be read as text on white; dashes and widths tell the
    lines apart without them.
    """

    key: str
    name: str
    short: str
    definition: str
    colour: str
    width: float
    dashes: str


STATIC = Row(
    "static",
    "static",
    "static",
    "A model of the same shape, trained on the same kinds of shift, that nothing changes afterwards.",
    "#333333",
    1.6,
    "-",
)
BASE = Row(
    "base",
    "base, unedited",
    "base",
    "The model that edits are made for, without any edit.",
    "#767676",
    0.8,
    "-",
)
MEAN_EDIT = Row(
    "mean_edit",
    "mean edit (control)",
    "mean edit",
    "The base with one edit for everybody, the mean of many: what an edit brings that knows nothing of the device.",
    "#B84E00",
    1.3,
    ":",
)
ADAPTED = Row(
    "adapted",
    "adapted (same window)",
    "same window",
    "A window's unlabelled samples go into the sketch first, the cloud answers, then the same window is predicted.",
    "#007A5A",
    1.5,
    "--",
)
CAUSAL = Row(
    "adapted_causal",
    "adapted (causal)",
    "causal",
    "A window is predicted as it comes, with the edit that earlier windows brought; where the device's jump test sees "
    "another domain, it takes the nearest prototype that it holds. The cloud's answer serves the windows after.",
    "#0062A3",
    2.4,
    "-",
)
ROWS = (STATIC, BASE, MEAN_EDIT, ADAPTED, CAUSAL)
