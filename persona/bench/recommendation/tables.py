"""Results of one plan → tables in Markdown: all rows, each level in its own column, and segments."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from persona.bench.pages import markdown
from persona.bench.recommendation.intervals import Estimate, losses_of, relative_gain, share_closed
from persona.bench.recommendation.plan import PAPER_READ
from persona.bench.recommendation.summary import Cell, Stored
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
    "ours-mean": "ours, the mean edit for all",
    "ours-shuffled": "ours, another user's edit",
    "ours-alone": "ours, personal level alone",
    "constant": "one trained edit for all",
    "fine-tuned": "fine-tuning for each user, with labels",
    "groups": "fine-tuning for eight groups, with labels",
    "faithful": "the public recipe, `faithful`",
}
POLICY_NAMES = {
    "every": "every so many events",
    "random": "at random",
    "detector": "misprediction detector, after IntellectReq",
    "drift": "Page–Hinkley on the sketch",
    "predicted": "ours: predicted gain",
}
PAPER_AT = (5, 10, 20)
ORDER = (
    "popularity", "markov", "blend", "base", "base-more", "wider", "broadcast-bias", "broadcast", "broadcast-shuffled",
    "constant", "ours", "ours-mean", "ours-shuffled", "ours-alone", "closed-form", "closed-form-mean",
    "closed-form-shuffled", "shift", "film", "duet", "apg", "faithful", "faithful-mean", "faithful-shuffled", "groups",
    "fine-tuned", "retrained", "ceiling", "oracle",
)  # fmt: skip


def rows_of(stored: Stored) -> list[str]:
    """Return the stored rows in the order of a table, others behind, those of request policies left out."""
    others = [row for row in stored.cells if row not in ORDER and "requests" not in stored.cells[row].figures]
    return [row for row in ORDER if row in stored.cells] + others


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


def requests_table(stored: Stored) -> str:
    """Return what each request policy keeps of the gain that an edit at every event brings, by budget."""
    having = [row for row, cell in stored.cells.items() if "requests" in cell.figures]
    if not {"base", "ours"} <= set(stored.cells) or not having:
        return ""
    lines = [["at every event", "100", *_kept_gain(stored, "ours")]]
    for row in sorted(having, key=lambda row: (-int(row.rpartition("-")[2]), row)):
        policy = row.removeprefix("ours-").rpartition("-")[0]
        share = 100 * float(stored.cells[row].figures["requests"].mean())
        lines.append([POLICY_NAMES.get(policy, policy), f"{share:.0f}", *_kept_gain(stored, row)])
    return markdown(["policy", "requests, %", "NDCG@10", "over the base, %", "of the gain, %"], lines)


def _kept_gain(stored: Stored, row: str) -> list[str]:
    kept = "" if row == "ours" else _said(share_closed, stored, (row, "base", "ours"), None)
    return [f"{stored.cells[row].ndcg().mean():.4f}", _gain(stored, row), kept]


def paper_table(stored: Stored) -> str:
    """Return the measures of the paper's protocol: AUC, AUC by user, NDCG and HR at 5, 10 and 20 among a sample."""
    negatives = int(stored.about["plan"]["negatives"])
    lines = []
    for row in rows_of(stored):
        cell = stored.cells[row]
        of_users = (1 + negatives - cell.ranks.mean()) / negatives  # a user is asked once: a rank is an AUC
        figures = [float(of(cell, k).mean()) for k in PAPER_AT for of in (Cell.ndcg, Cell.hit)]
        shares = [float(cell.figures["auc"].mean()), float(of_users), *figures]
        name = f"base (window {PAPER_READ})" if row == "base" else NAMES.get(row, row)
        lines.append([name, *(f"{x:.4f}" for x in shares), _gain(stored, row), str(len(cell.seeds))])
    heads = ["row", "AUC", "user-AUC", *(f"{name}@{k}" for k in PAPER_AT for name in ("NDCG", "HR"))]
    return markdown([*heads, "NDCG@10 over the base, %", "seeds"], lines)


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
