"""Item vectors beside a graph: the table that a ranking bundle's queries are scored against, as a file to be mapped.

Row 0 is padding. Vectors are float32, float16, or int8 with a scale for each row. A *text map*, where there is one,
makes the vector and the bias of an item that came after export from its text vector, linearly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from persona.container import pack
from persona.edit import Array
from persona.errors import BundleError, ExportError
from persona.mapped import map_file

ITEMS_FILE = "items.persona"
KIND = "items"
# Item numbers travel through float32, which knows whole numbers up to here.
ITEMS_LIMIT = (1 << 24) - 1
BLOCK_ROWS = 1 << 14

Stored = Literal["float32", "float16", "int8"]


@dataclass(frozen=True, eq=False)
class TextMap:
    """Text vector (D,) → an item's vector (w,), then its bias: ``text @ weight (D, w + 1) + shift (w + 1,)``."""

    weight: Array
    shift: Array


@dataclass(frozen=True, eq=False)
class ItemVectors:
    """The arrays as they are stored: vectors (I + 1, w), scale (I + 1,) where they are int8, bias (I + 1,)."""

    vectors: npt.NDArray[Any]
    bias: Array
    scale: Array | None = None
    text_map: TextMap | None = None
    fingerprint: str = ""

    def __post_init__(self) -> None:
        """BundleError where the arrays do not fit each other, or have entries that are not finite."""
        rows = len(self.vectors) if self.vectors.ndim == 2 else 0
        if not 2 <= rows <= ITEMS_LIMIT + 1 or self.vectors.shape[1] < 1:
            raise BundleError(
                f"item vectors have shape {self.vectors.shape}; wanted (I + 1, w), I from 1 to {ITEMS_LIMIT:,}"
            )
        if self.vectors.dtype not in ("float32", "float16", "int8"):
            raise BundleError(f"item vectors are {self.vectors.dtype}; wanted float32, float16 or int8")
        if (self.vectors.dtype == np.int8) != (self.scale is not None):
            raise BundleError(
                f"item vectors are {self.vectors.dtype}; a scale for each row goes with int8, and only so"
            )
        columns = {"bias": self.bias} if self.scale is None else {"bias": self.bias, "scale": self.scale}
        for name, column in columns.items():
            if column.dtype != np.float32 or column.shape != (rows,) or not np.isfinite(column).all():
                raise BundleError(
                    f"items' {name} is {column.dtype} of shape {column.shape}; wanted float32 ({rows},), all finite"
                )
        if self.scale is not None and float(self.scale.min()) < 0:
            raise BundleError("items' scales have entries below 0; export them anew")
        self._check_finite()
        self._check_text_map()

    @property
    def n_items(self) -> int:
        """I."""
        return len(self.vectors) - 1

    @property
    def width(self) -> int:
        """w: numbers of a vector, and of a query."""
        return int(self.vectors.shape[1])

    def rows(self, chosen: slice | npt.NDArray[np.int64]) -> Array:
        """Return vectors (…, w) of some items as float32; no other row is touched."""
        values = self.vectors[chosen]
        if self.scale is None:
            return np.asarray(values, np.float32)
        return values.astype(np.float32) * self.scale[chosen][..., None]

    def blocks(self, rows: int = BLOCK_ROWS) -> Iterator[slice]:
        """Yield the rows of the table in blocks."""
        for start in range(0, len(self.vectors), rows):
            yield slice(start, min(start + rows, len(self.vectors)))

    def _check_finite(self) -> None:
        if self.vectors.dtype == np.int8:
            return
        for block in self.blocks():
            sound = np.isfinite(self.vectors[block]).all(axis=1)
            if not sound.all():
                row = block.start + int(sound.argmin())
                raise BundleError(f"the vector of item {row} has entries that are not finite; export the items anew")

    def _check_text_map(self) -> None:
        if self.text_map is None:
            return
        weight, shift = self.text_map.weight, self.text_map.shift
        fits = weight.ndim == 2 and weight.shape[1:] == shift.shape == (self.width + 1,) and len(weight)
        sound = fits and weight.dtype == shift.dtype == np.float32
        if not sound or not (np.isfinite(weight).all() and np.isfinite(shift).all()):
            raise BundleError(
                f"items' text map is {weight.dtype} of shape {weight.shape} with {shift.shape}; wanted finite float32 "
                f"(D, {self.width + 1}) and ({self.width + 1},)"
            )


def pack_items(vectors: Array, bias: Array, stored: Stored = "float32", text_map: TextMap | None = None) -> bytes:
    """Return the file of vectors (I + 1, w) and biases (I + 1,), float32 as trained; the padding's row becomes zeros.

    ExportError where they do not fit each other, are not finite, or are too large for float16.
    """
    table = np.array(vectors, np.float32)
    table[:1] = 0
    column = np.array(bias, np.float32)
    column[:1] = 0
    try:
        ItemVectors(table, column, None, text_map)
        arrays = {"bias": column, **_stored(table, stored)}
        if text_map is not None:
            arrays |= {"text/weight": text_map.weight, "text/shift": text_map.shift}
        data = pack(KIND, {}, arrays)
        _of_arrays(arrays, "")
    except BundleError as error:
        raise ExportError(f"items cannot be written: {error}") from error
    return data


def read_items(path: Path, fingerprint: str | None = None) -> ItemVectors:
    """Map a file of item vectors, or the one in a folder.

    BundleError where it is damaged, or has another fingerprint than the one that its bundle names.
    """
    _, arrays, found = map_file(KIND, path / ITEMS_FILE if path.is_dir() else path)
    if fingerprint is not None and found != fingerprint:
        raise BundleError(
            f"items {found[:12]} are not those of the bundle, which names {fingerprint[:12]}; fetch them again"
        )
    return _of_arrays(arrays, found)


def _of_arrays(arrays: dict[str, npt.NDArray[Any]], fingerprint: str) -> ItemVectors:
    extra = arrays.keys() - {"vectors", "bias", "scale", "text/weight", "text/shift"}
    missing = {"vectors", "bias"} - arrays.keys()
    if extra or missing or ("text/weight" in arrays) != ("text/shift" in arrays):
        raise BundleError(f"a file of items holds {sorted(arrays)}; wanted vectors, bias and perhaps scale, text/…")
    text_map = TextMap(arrays["text/weight"], arrays["text/shift"]) if "text/weight" in arrays else None
    return ItemVectors(arrays["vectors"], arrays["bias"], arrays.get("scale"), text_map, fingerprint)


def _stored(table: Array, stored: Stored) -> dict[str, npt.NDArray[Any]]:
    if stored == "float32":
        return {"vectors": table}
    if stored == "float16":
        with np.errstate(over="ignore"):
            return {"vectors": table.astype(np.float16)}  # what overflows is refused as not finite
    if stored != "int8":
        raise ExportError(f"items were asked for as {stored!r}; wanted float32, float16 or int8")
    scale = (np.abs(table).max(axis=1) / 127).astype(np.float32)
    steps = np.rint(table / np.where(scale > 0, scale, 1)[:, None])
    return {"vectors": np.clip(steps, -127, 127).astype(np.int8), "scale": scale}
