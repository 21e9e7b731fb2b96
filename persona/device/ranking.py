"""The catalogue on the device: queries → scores of items, a block of mapped rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from persona.edit import Array
from persona.errors import DataError
from persona.item_vectors import BLOCK_ROWS, ITEMS_LIMIT, ItemVectors

PADDING = 0
QUERIES_AT_ONCE = 64  # times BLOCK_ROWS scores: 4 MB of float32
Items = npt.NDArray[np.int64]


class Catalogue:
    """Items 1..I of a file, and perhaps newcomers behind them. It never changes, so many threads may use it.

    A changed catalogue is another one: `with_bias`, `grown`.
    """

    def __init__(self, items: ItemVectors, change: Array | None = None, newcomers: Array | None = None) -> None:
        """`change` (I + 1,) is added to the biases; `newcomers` (M, w + 1) are vectors and biases of items I + 1…"""
        self._items = items
        self._change = np.zeros(items.n_items + 1, np.float32) if change is None else change
        self._newcomers = np.zeros((0, items.width + 1), np.float32) if newcomers is None else newcomers

    @property
    def n_known(self) -> int:
        """I: the items that the graph and the adapter know."""
        return self._items.n_items

    @property
    def n_items(self) -> int:
        """Items that can be recommended: I, and newcomers."""
        return self._items.n_items + len(self._newcomers)

    @property
    def width(self) -> int:
        """w: numbers of a query."""
        return self._items.width

    @property
    def fingerprint(self) -> str:
        """Of the file."""
        return self._items.fingerprint

    def with_bias(self, change: npt.ArrayLike) -> Catalogue:
        """Return the catalogue with a change (I + 1,) of the file's biases: one edit for everybody.

        DataError where the change has another shape or is not finite.
        """
        values = np.array(change, np.float32)
        if values.shape != (self.n_known + 1,) or not np.isfinite(values).all():
            raise DataError(f"a change of biases has shape {values.shape}; wanted ({self.n_known + 1},), all finite")
        return Catalogue(self._items, values, self._newcomers)

    def grown(self, texts: npt.ArrayLike) -> Catalogue:
        """Return the catalogue with M more items behind it, made of their text vectors (M, D).

        DataError where the file has no text map, or a text vector is absent (all zero), misshapen or not finite.
        """
        text_map, values = self._items.text_map, np.asarray(texts, np.float32)
        if text_map is None:
            raise DataError(
                "the catalogue grew after export, and its file has no text map to place new items by; export items "
                "with text vectors, or leave the new items out until the next export"
            )
        if values.ndim != 2 or values.shape[1] != len(text_map.weight):
            raise DataError(f"texts of new items have shape {values.shape}; wanted (M, {len(text_map.weight)})")
        sound = np.isfinite(values).all(axis=1) & values.any(axis=1)
        if not sound.all():
            raise DataError(
                f"new item {self.n_items + 1 + int(sound.argmin())} has no usable text vector; leave it out"
            )
        if self.n_items + len(values) > ITEMS_LIMIT:
            raise DataError(
                f"{self.n_items + len(values):,} items are more than {ITEMS_LIMIT:,}, the most there may be"
            )
        added = values @ text_map.weight + text_map.shift
        return Catalogue(self._items, self._change, np.concatenate([self._newcomers, added.astype(np.float32)]))

    def scores(self, queries: npt.ArrayLike) -> Array:
        """Return scores (B, items + 1) of queries (B, w), -inf for padding. DataError for queries that are none."""
        rows = self._queries(queries)
        scores = np.empty((len(rows), self.n_items + 1), np.float32)
        for at in range(0, len(rows), QUERIES_AT_ONCE):
            few = slice(at, at + QUERIES_AT_ONCE)
            for first, found in self._blocks(rows[few]):
                scores[few, first : first + found.shape[1]] = found
        return scores

    def score(self, queries: npt.ArrayLike, candidates: npt.ArrayLike) -> Array:
        """Return scores (B, C) of candidates (B, C); no other item's row is touched.

        DataError for queries that are none, and for candidates that are not in the catalogue.
        """
        rows = self._queries(queries)
        chosen = self.numbers(candidates, "candidates")
        if chosen.ndim != 2 or len(chosen) != len(rows):
            raise DataError(f"candidates have shape {chosen.shape} for {len(rows)} queries; wanted a row for each")
        known = np.where(chosen > self.n_known, PADDING, chosen)
        vectors, biases = self._items.rows(known), self._items.bias[known] + self._change[known]
        if len(self._newcomers):
            new = chosen > self.n_known
            added = self._newcomers[chosen[new] - self.n_known - 1]
            vectors[new], biases[new] = added[:, :-1], added[:, -1]
        return np.asarray(np.einsum("bw,bcw->bc", rows, vectors) + biases, np.float32)

    def top_k(self, queries: npt.ArrayLike, k: int, seen: Sequence[npt.ArrayLike] | None = None) -> tuple[Items, Array]:
        """Return the best items (B, k) and their scores (B, k), best first; of equals the lower number.

        Items that row b has `seen` are left out. Where fewer than k are left, item 0 with score -inf fills the row.
        DataError for queries that are none, seen items that are not there, or k beyond the catalogue.
        """
        rows = self._queries(queries)
        if not 1 <= k <= self.n_items:
            raise DataError(f"k is {k}; the catalogue has {self.n_items} items: ask for 1 to that many")
        if seen is not None and len(seen) != len(rows):
            raise DataError(f"seen items were given for {len(seen)} of {len(rows)} queries; wanted a row for each")
        met = (
            [self.numbers(row, "seen items") for row in seen]
            if seen is not None
            else [np.zeros(0, np.int64)] * len(rows)
        )
        items, scores = np.zeros((len(rows), k), np.int64), np.full((len(rows), k), -np.inf, np.float32)
        for at in range(0, len(rows), QUERIES_AT_ONCE):
            few = slice(at, at + QUERIES_AT_ONCE)
            for first, found in self._blocks(rows[few]):
                for row, values in enumerate(found, start=at):
                    mine = met[row]
                    values[mine[(mine >= first) & (mine < first + len(values))] - first] = -np.inf
                    items[row], scores[row] = _merged(items[row], scores[row], first, values)
        return items, scores

    def numbers(self, items: npt.ArrayLike, what: str) -> Items:
        """Return items as int64; DataError where one is no whole number from 1 to the last item."""
        found = np.asarray(items)
        if not found.size:
            return np.zeros(found.shape, np.int64)
        whole = found.dtype.kind in "iu"
        if not whole or int(found.min()) < 1 or int(found.max()) > self.n_items:
            span = f", from {found.min()} to {found.max()}" if whole else ""
            raise DataError(
                f"{what} are {found.dtype}{span}; wanted item numbers from 1 to {self.n_items}: an item that came "
                "after export has none before `grown` gives it one"
            )
        return found.astype(np.int64)

    def _blocks(self, rows: Array) -> Iterator[tuple[int, Array]]:
        """Yield the first item of a block and the block's scores (B, n), newcomers last."""
        for block in self._items.blocks(BLOCK_ROWS):
            found = rows @ self._items.rows(block).T + (self._items.bias[block] + self._change[block])
            if block.start == PADDING:
                found[:, PADDING] = -np.inf
            yield block.start, found
        if len(self._newcomers):
            yield self.n_known + 1, rows @ self._newcomers[:, :-1].T + self._newcomers[:, -1]

    def _queries(self, queries: npt.ArrayLike) -> Array:
        rows = np.asarray(queries, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise DataError(f"queries have shape {rows.shape}; this catalogue needs (B, {self.width})")
        if not np.isfinite(rows).all():
            raise DataError("a query has entries that are not finite; look for it in the model or its edit")
        return rows


def _merged(items: Items, scores: Array, first: int, values: Array) -> tuple[Items, Array]:
    """Return the best of those so far (k,) and of a block's values (n,), best first, of equals the lower number."""
    k = len(items)
    places = np.arange(len(values))
    if len(values) > k:
        places = np.flatnonzero(values >= np.partition(values, len(values) - k)[len(values) - k])
    places = places[values[places] > -np.inf]
    numbers = np.concatenate([items, places + first])
    found = np.concatenate([scores, values[places]])
    best = np.lexsort((numbers, -found))[:k]
    return numbers[best], found[best]
