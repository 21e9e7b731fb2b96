"""What a row costs a device, the cloud and the network, as a table from stored costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from persona.bench.pages import markdown
from persona.bench.vision.roles import label

Costs = Mapping[str, Mapping[str, float]]

STEP_MS = "training_step_ms"

_COLUMNS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("step, ms p50", "step_ms_p50", lambda value: f"{value:.2f}"),
    ("step, ms p99", "step_ms_p99", lambda value: f"{value:.2f}"),
    ("answer, ms p50", "answer_ms_p50", lambda value: f"{value:.2f}"),
    ("answer, ms p99", "answer_ms_p99", lambda value: f"{value:.2f}"),
    ("MFLOP a window", "flops", lambda value: f"{value / 1e6:.1f}"),
    ("backward passes", "backward_passes", lambda value: f"{value:.0f}"),
    ("kept for backward, kB", "saved_bytes", lambda value: f"{value / 1e3:.0f}"),
    ("largest tensor, kB", "largest_bytes", lambda value: f"{value / 1e3:.0f}"),
    ("up, B a window", "up_bytes", lambda value: f"{value:,.0f}"),
    ("down, B a window", "down_bytes", lambda value: f"{value:,.0f}"),
    ("training step, ms", STEP_MS, lambda value: f"{value:.0f}"),
)


def cost_table(costs: Costs) -> str:
    """Return the costs of every row, cheapest computation first, in the columns that any row has; "" where empty."""
    columns = [column for column in _COLUMNS if any(column[1] in row for row in costs.values())]
    if not columns:
        return ""
    lines = [[label(name), *(_shown(costs[name], cost, show) for _, cost, show in columns)] for name in _order(costs)]
    return markdown(["row", *(title for title, _, _ in columns)], lines)


def _order(costs: Costs) -> list[str]:
    return sorted(costs, key=lambda name: (costs[name].get("flops", float("inf")), name))


def _shown(row: Mapping[str, float], cost: str, show: Callable[[float], str]) -> str:
    return show(row[cost]) if cost in row else ""
