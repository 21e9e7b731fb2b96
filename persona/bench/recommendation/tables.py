"""Results of one plan → tables in Markdown: all rows, each level in its own column, and segments."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from persona.bench.pages import markdown
from persona.bench.recommendation.intervals import Estimate, losses_of, relative_gain, share_closed
from persona.bench.recommendation.summary import Stored
from persona.errors import DataError

NAMES = {
    "base": "base (window 10)",
    "base-more": "base, more epochs",
    "wider": "base, with the item side's parameters",
    "ceiling": "base, window 200: the ceiling",
    "retrained": "base, trained again on everything since",
    "broadcast": "broadcast edit",
    "broadcast-bias": "broadcast edit, biases alone",
    "broadcast-shuffled": "broadcast edit, each item's at another",
    "ours": "ours",
    "ours-every-4": "ours, a request every 4 events",
    "ours-mean": "ours, the mean edit for all",
    "ours-shuffled": "ours, another user's edit",
    "ours-alone": "ours, personal level alone",
    "constant": "one trained edit for all",
    "fine-tuned": "fine-tuning for each user, with labels",
    "groups": "fine-tuning for eight groups, with labels",
    "faithful": "the public recipe without k-means, `faithful`",
}
ORDER = (
    "popularity", "markov", "blend", "base", "base-more", "wider", "broadcast-bias", "broadcast", "broadcast-shuffled",
    "constant", "ours", "ours-every-4", "ours-mean", "ours-shuffled", "ours-alone", "closed-form", "closed-form-mean",
    "closed-form-shuffled", "shift", "film", "duet", "apg", "faithful", "faithful-mean", "faithful-shuffled", "groups",
    "fine-tuned", "retrained", "ceiling", "oracle",
)  # fmt: skip


def rows_of(stored: Stored) -> list[str]:
    """Return the stored rows in the order of a table, others behind."""
    return [row for row in ORDER if row in stored.cells] + [row for row in stored.cells if row not in ORDER]


def main_table(stored: Stored) -> str:
    """Return every row's HR, NDCG and loss, and its gain over the base."""
    lines = []
    for row in rows_of(stored):
        cell = stored.cells[row]
        loss = "" if cell.losses is None else f"{cell.losses.mean():.3f}"
        lines.append(
            [NAMES.get(row, row), f"{cell.hit().mean():.4f}", f"{cell.ndcg().mean():.4f}", _gain(stored, row), loss,
             str(len(cell.seeds))]
        )  # fmt: skip
    return markdown(["row", "HR@10", "NDCG@10", "over the base, %", "NLL", "seeds"], lines)


def levels_table(stored: Stored) -> str:
    """Return each level in its own column: what the broadcast closes of the gap, and what the personal part adds."""
    if not {"base", "broadcast", "retrained"} <= set(stored.cells):
        return ""
    lines = []
    for name, chosen in {"all": None, **stored.segments}.items():
        gap = ("broadcast", "base", "retrained")
        figures = [_said(share_closed, stored, gap, chosen), _said(share_closed, stored, gap, chosen, losses_of)]
        figures += [
            _said(relative_gain, stored, ("ours", other), chosen) if "ours" in stored.cells else ""
            for other in ("broadcast", "base")
        ]
        count = len(stored.users) if chosen is None else int(chosen.sum())
        lines.append([name, str(count), *figures])
    heads = ["queries", "number", "broadcast: of the NDCG gap, %", "of the NLL gap, %",
             "personal, over the broadcast, %", "both, over the base, %"]  # fmt: skip
    return markdown(heads, lines)


def segment_table(stored: Stored, rows: Iterable[str]) -> str:
    """Return gains over the base by segment, a column a row."""
    having = [row for row in rows if row in stored.cells]
    if "base" not in stored.cells or not having:
        return ""
    lines = []
    for name, chosen in stored.segments.items():
        base = float(stored.cells["base"].ndcg()[:, chosen].mean())
        gains = [_said(relative_gain, stored, (row, "base"), chosen) if base > 0 else "" for row in having]
        lines.append([name, str(int(chosen.sum())), f"{base:.4f}", *gains])
    return markdown(["queries", "number", "NDCG@10 of the base", *(NAMES.get(row, row) for row in having)], lines)


def losing_table(stored: Stored) -> str:
    """Return where ours is below the base, by row and segment, worst first."""
    if not {"ours", "base"} <= set(stored.cells):
        return ""
    if not set(stored.cells["ours"].seeds) & set(stored.cells["base"].seeds):
        return ""
    found = []
    for name, chosen in stored.segments.items():
        if float(stored.cells["base"].ndcg()[:, chosen].mean()) > 0:
            gain = relative_gain(stored, ("ours", "base"), chosen)
            if gain.value < 0:
                found.append((gain.value, [name, f"{gain}"]))
    return markdown(["queries", "ours over the base, %"], [line for _, line in sorted(found)]) if found else ""


def _gain(stored: Stored, row: str) -> str:
    if row == "base" or "base" not in stored.cells or not np.any(stored.cells["base"].ndcg()):
        return ""
    return _said(relative_gain, stored, (row, "base"))


def _said(figure: Callable[..., Estimate], *about: object) -> str:
    try:
        found = figure(*about)
    except DataError:  # rows that were run on seeds that have nothing in common
        return "not comparable"
    return "no gap" if np.isnan(found.value) else str(found)
