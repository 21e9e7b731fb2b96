"""Results on disk: one JSON file for each seed of a plan, a row of it written when it is done.

Each query's rank and loss is kept, packed, so that every table and interval can be made again from them.
"""

from __future__ import annotations

import base64
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from persona.errors import DataError

Floats = npt.NDArray[np.float64]
LARGEST_RANK = 32_000.0  # ranks have halves, and are kept as 16-bit whole numbers


def seed_path(folder: Path, seed: int) -> Path:
    """Return the file of a seed."""
    return folder / f"seed-{seed}.json"


def pack_ranks(ranks: Floats) -> str:
    """Return ranks (Q,) as text; those beyond `LARGEST_RANK` count as that."""
    return _pack(np.rint(2 * np.minimum(ranks, LARGEST_RANK)).astype("<u2"))


def unpack_ranks(text: str) -> Floats:
    """Return what `pack_ranks` packed; DataError where it is damaged."""
    return _unpack(text, "<u2") / 2


def pack_floats(values: npt.NDArray[Any]) -> str:
    """Return numbers (Q,) as text, in half precision."""
    return _pack(np.asarray(values, "<f2"))


def unpack_floats(text: str) -> Floats:
    """Return what `pack_floats` packed; DataError where it is damaged."""
    return _unpack(text, "<f2")


def pack_whole(values: npt.NDArray[Any]) -> str:
    """Return whole numbers (Q,) within 32 bits as text."""
    return _pack(np.asarray(values, "<i4"))


def unpack_whole(text: str) -> npt.NDArray[np.int64]:
    """Return what `pack_whole` packed; DataError where it is damaged."""
    return _unpack(text, "<i4").astype(np.int64)


def _pack(values: npt.NDArray[Any]) -> str:
    return base64.b64encode(zlib.compress(values.tobytes(), 9)).decode("ascii")


def _unpack(text: str, kind: str) -> Floats:
    try:
        return np.frombuffer(zlib.decompress(base64.b64decode(text)), kind).astype(np.float64)
    except (ValueError, TypeError, zlib.error) as error:
        raise DataError(f"stored figures are damaged ({error!r}); delete the file, and run again") from error
