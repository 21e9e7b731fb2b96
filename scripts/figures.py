"""Keep a demo's results as the project's figures, and write the README's table from them.

Usage: python scripts/figures.py             write the README's table from benchmarks/results/demo.json
       python scripts/figures.py OUT/results.json   keep these results first, with the commit they were made at
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "demo.json"
README = ROOT / "README.md"
START, END = "<!-- figures: scripts/figures.py writes these lines -->\n", "<!-- end of figures -->\n"

ROWS = {
    "static": "static: the same net on the same shifts, images and passes",
    "base": "base, unedited",
    "mean_edit": "mean edit: one for everybody (control)",
    "adapted": "adapted, with the edit of the same window",
    "adapted_causal": "adapted, causally: as an app runs it",
}


def table(results: dict[str, Any]) -> str:
    """Return the README's lines for a demo's results."""
    rows = [
        f"| {name} | "
        + " | ".join(f"{results[part][row]:.1f}" for part in ("accuracy", "first_window", "clean"))
        + " |"
        for row, name in ROWS.items()
    ]
    low, high = results["intervals"]["adapted_causal_minus_static"]
    gain = results["accuracy"]["adapted_causal"] - results["accuracy"]["static"]
    signature = results.get("signature_bytes", 0)  # results of before there were signatures lack it
    signed = f" with {signature} more of signature" if signature else ""
    costs = (
        f"Causal minus static: {gain:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f} by bootstrap over "
        f"{len(results['devices'])} devices. An adaptation takes {results['bytes_up']:.0f} bytes up and "
        f"{results['bytes_down']:.0f} down{signed}, and {results['apply_us']['p50']:.0f} µs to decode, check and "
        f"swap beside eleven other processes. One training seed ({results['seeds']['train']}) and one stream seed "
        f"({results['seeds']['stream']}), {results['machine']['cores']} cores, commit {results['commit'][:7]}."
    )
    head = ["| accuracy, % | shifting devices | first window after a shift | unshifted data |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, "", costs]) + "\n"


def with_table(readme: str, results: dict[str, Any]) -> str:
    """Return the README with its figures replaced."""
    before, rest = readme.split(START)
    return before + START + table(results) + END + rest.split(END)[1]


def main(arguments: list[str]) -> None:
    """Keep results if any are named, then write the README."""
    if arguments:
        kept = json.loads(Path(arguments[0]).read_text())
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True, cwd=ROOT)
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps({**kept, "commit": commit.stdout.strip()}, indent=1) + "\n")
    README.write_text(with_table(README.read_text(), json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main(sys.argv[1:])
