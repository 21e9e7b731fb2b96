"""Results on disk: one JSON file for each training seed, stream seed and setting, a row of it written when it is done.

Right answers by window are digits to the base 36, one string a row and timing, device after device: small enough to be
kept whole, so that every table and interval can be made again from them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from persona.errors import DataError
from persona.files import write_whole

Counts = npt.NDArray[np.int64]
COSTS = "costs.json"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_NAME = re.compile(r"(?P<setting>.+)-(?P<train>\d+)-(?P<stream>\d+)\.json")


@dataclass(frozen=True)
class Unit:
    """One training seed on one stream seed in one setting."""

    train: int
    stream: int
    setting: str

    def path(self, folder: Path) -> Path:
        """Return the unit's file."""
        return folder / f"{self.setting}-{self.train}-{self.stream}.json"

    @classmethod
    def of(cls, path: Path) -> Unit | None:
        """Return the unit whose file that is, None where the name is not a unit's."""
        found = _NAME.fullmatch(path.name)
        return None if found is None else cls(int(found["train"]), int(found["stream"]), found["setting"])


def pack(counts: Counts) -> str:
    """Return counts (devices, windows), each below 36, as one string; DataError for others."""
    if counts.size and (counts.min() < 0 or counts.max() >= len(_DIGITS)):
        raise DataError(f"counts reach {counts.min()} to {counts.max()}; one digit holds 0..{len(_DIGITS) - 1}")
    return "".join(_DIGITS[int(count)] for count in counts.ravel())


def unpack(text: str, windows: int) -> Counts:
    """Return the counts (devices, windows) of a string; DataError where it is another's."""
    if windows < 1 or not text or len(text) % windows or not set(text) <= set(_DIGITS):
        raise DataError(f"results of {len(text)} windows do not divide over devices of {windows}; were they cut off?")
    codes = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64)
    return np.where(codes < ord("a"), codes - ord("0"), codes - ord("a") + 10).reshape(-1, windows)


def read_costs(folder: Path) -> dict[str, dict[str, float]]:
    """Return what each row costs, by row and name of the cost, empty where none is stored; DataError where damaged."""
    path = folder / COSTS
    if not path.exists():
        return {}
    try:
        costs = json.loads(path.read_text(encoding="utf-8"))
        return {row: {name: float(value) for name, value in found.items()} for row, found in costs.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"costs {path} are damaged ({error!r}); delete the file, and run again") from error


def write_costs(folder: Path, row: str, costs: Mapping[str, float]) -> None:
    """Keep what one row costs beside those of the others; DataError where the file is damaged."""
    content = {**read_costs(folder), row: dict(costs)}
    write_whole(folder / COSTS, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
