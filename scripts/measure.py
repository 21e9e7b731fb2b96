"""Check a package's Python files against the house's measures: ``measure.py [FOLDER]`` (persona/, if not said).

Prints the figures, then a line for each offender, and exits with 1 where there is one. Lines are counted as a reader
meets them: docstrings, comments and blank lines too; a function counts from its ``def`` to its last line.
"""

from __future__ import annotations

import ast
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

FILE_LIMIT_LINES = 400
FILE_MEDIAN_LINES = 120
FUNCTION_LIMIT_LINES = 60
FUNCTION_P95_LINES = 35
VAGUE_STEMS = frozenset({"common", "helper", "helpers", "misc", "util", "utils"})


@dataclass(frozen=True)
class Measured:
    """One file or function: where it is, and its length in lines."""

    where: str
    lines: int


def main(arguments: list[str]) -> int:
    """Measure the folder named in the arguments; return the exit status."""
    folder = Path(arguments[0]) if arguments else Path(__file__).parents[1] / "persona"
    paths = sorted(folder.rglob("*.py"))
    if not paths:
        print(f"measure: no Python file under '{folder}'; name the package's folder")
        return 2
    files = [Measured(str(path.relative_to(folder.parent)), count_lines(path)) for path in paths]
    functions = [found for path in paths for found in functions_of(path, folder.parent)]
    for title, measured in (("files", files), ("functions", functions)):
        print(figures(title, [item.lines for item in measured]))
    offences = [*offending_files(files), *offending_functions(functions)]
    for offence in offences:
        print(offence)
    return 1 if offences else 0


def count_lines(path: Path) -> int:
    """Return how many lines a file has."""
    return len(path.read_text(encoding="utf-8").splitlines())


def functions_of(path: Path, base: Path) -> list[Measured]:
    """Return every function and method in a file, nested ones too, named relative to ``base``."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return [
        Measured(f"{path.relative_to(base)}:{node.lineno} {node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def percentile_95(lengths: list[int]) -> int:
    """Return the smallest length that 95 % of them do not exceed (nearest rank); 0 for none."""
    return sorted(lengths)[math.ceil(0.95 * len(lengths)) - 1] if lengths else 0


def figures(title: str, lengths: list[int]) -> str:
    """Return one line: how many, their median, 95th percentile and largest, in lines."""
    middle = median(lengths) if lengths else 0
    largest = max(lengths, default=0)
    return f"{title}: {len(lengths)}, median {middle:g}, p95 {percentile_95(lengths)}, longest {largest} lines"


def offending_files(files: list[Measured]) -> list[str]:
    """Return a line for each file that is too long or vaguely named, and one where the median is too high."""
    offences = [
        f"{item.where}: {item.lines} lines, at most {FILE_LIMIT_LINES} wanted; split it by idea"
        for item in files
        if item.lines > FILE_LIMIT_LINES
    ]
    offences += [
        f"{item.where}: '{Path(item.where).stem}' says nothing; name the file after what is in it"
        for item in files
        if Path(item.where).stem in VAGUE_STEMS
    ]
    middle = median(item.lines for item in files)
    if middle > FILE_MEDIAN_LINES:
        offences.append(f"files: median {middle:g} lines, at most {FILE_MEDIAN_LINES} wanted")
    return offences


def offending_functions(functions: list[Measured]) -> list[str]:
    """Return a line for each function that is too long; where the 95th percentile is too high, all above it."""
    too_high = percentile_95([item.lines for item in functions]) > FUNCTION_P95_LINES
    limit = FUNCTION_P95_LINES if too_high else FUNCTION_LIMIT_LINES
    why = f"95 % may have {limit}, and too many have more" if too_high else f"at most {limit} wanted"
    return [f"{item.where}: {item.lines} lines, {why}" for item in functions if item.lines > limit]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
