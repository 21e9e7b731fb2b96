"""Check a demo's results.json against what the demo promises; exit 1 naming each promise that does not hold.

Usage: python scripts/demo_holds.py OUT/results.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def promises(results: dict[str, Any]) -> list[tuple[str, float, str, float]]:
    """Return (what, figure, relation, bound): percentages, points, bytes, MB."""
    accuracy, devices = results["accuracy"], results["devices"]
    return [
        ("adapted minus static, same window", accuracy["adapted"] - accuracy["static"], ">=", 3.0),
        ("adapted minus static, causal", accuracy["adapted_causal"] - accuracy["static"], ">=", 3.0),
        ("mean edit minus static", accuracy["mean_edit"] - accuracy["static"], "<=", 0.0),
        ("harm on clean data", results["clean_harm"], "<=", 0.5),
        ("bytes up", results["bytes_up"], "<=", 1100),
        ("bytes down", results["bytes_down"], "<=", 128),
        ("devices that imported torch", sum(d["torch_imported"] for d in devices), "<=", 0),
        ("largest device process, MB", max(d["rss_mb"] or 0 for d in devices), "<=", 100),
    ]


def main(path: Path) -> int:
    """Print every promise with its figure; return 1 where one does not hold."""
    failed = 0
    for what, figure, relation, bound in promises(json.loads(path.read_text())):
        holds = figure >= bound if relation == ">=" else figure <= bound
        failed += not holds
        print(f"{'holds ' if holds else 'FAILS '} {what}: {figure:.2f} (wanted {relation} {bound:g})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
