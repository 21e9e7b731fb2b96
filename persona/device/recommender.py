"""History in, the best items out: a sequence model whose head is edited, and the catalogue that it ranks."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from persona.bundle import Bundle
from persona.device.in_force import Rung
from persona.device.model import DeviceModel, Weights
from persona.device.ranking import PADDING, Catalogue, Items
from persona.edit import Array, Edit
from persona.errors import BundleError, DataError


@dataclass(frozen=True, eq=False)
class Ranked:
    """Items and their scores (K,), best first: at most as many as were asked for."""

    items: Items
    scores: Array


@dataclass(frozen=True)
class InForce:
    """What recommendations use: replaced whole, never changed. It expires at a time of the runtime's clock."""

    name: str
    weights: Weights
    catalogue: Catalogue
    rung: Rung
    expires_at: float = math.inf


class Recommender:
    """One bundle and its catalogue. Many threads may call every method; `put` and `offer` swap one reference.

    A history is item numbers, oldest first, however long: the last of them fill the model's window. Newcomers, which
    the model does not know, can be recommended and count as seen, but are left out of windows.
    """

    def __init__(self, bundle: Bundle, catalogue: Catalogue, threads: int = 1) -> None:
        """BundleError where the bundle ranks nothing, or names other items than the catalogue's."""
        ranking = bundle.ranking
        if ranking is None:
            raise BundleError("this bundle ranks no items; `persona.device.Runtime` runs it")
        found = catalogue.n_known, catalogue.width, catalogue.fingerprint
        if found != (ranking.items, ranking.width, ranking.fingerprint):
            raise BundleError(
                f"the catalogue has {found[0]} items by {found[1]} numbers, file {found[2][:12]}; this bundle ranks "
                f"{ranking.items} by {ranking.width}, file {ranking.fingerprint[:12]}: give the file exported with it"
            )
        self.bundle = bundle
        self._length = bundle.input_shape[0]
        self._model = DeviceModel(bundle, threads)
        self.base = InForce("base", self._model.weights(None), catalogue, "base")
        self._in_force = self.base
        self._lock = threading.Lock()  # of who swaps; who reads takes the one reference
        self._check_width()

    @property
    def in_force(self) -> InForce:
        """What recommendations use now."""
        return self._in_force

    def put(self, edit: Edit | None, name: str = "by hand") -> None:
        """Put an edit in force, None for the base; EditError where it does not fit, and then nothing changes."""
        self.swap(self.under(edit, "base" if edit is None else name))

    def offer(self, catalogue: Catalogue) -> None:
        """Recommend from another catalogue of the same file: biases changed for everybody, or grown."""
        if catalogue.fingerprint != self.base.catalogue.fingerprint:
            raise BundleError("the catalogue is of another file than the bundle's; give one made of the present one")
        with self._lock:
            self._in_force = replace(self._in_force, catalogue=catalogue)

    def top_k(
        self, history: npt.ArrayLike, k: int = 10, *, seen: npt.ArrayLike = (), filter_seen: bool = True
    ) -> Ranked:
        """Return the best items after a history, without those in it or in `seen`.

        DataError where an item is not in the catalogue, or k is beyond it.
        """
        now = self._in_force
        known = self._history(history, now.catalogue)
        left_out = None
        if filter_seen:
            left_out = [np.concatenate([known, now.catalogue.numbers(np.asarray(seen), "seen items").reshape(-1)])]
        items, scores = now.catalogue.top_k(self.queries([known], now), k, left_out)
        there = items[0] != PADDING
        return Ranked(items[0][there], scores[0][there])

    def score(self, history: npt.ArrayLike, candidates: npt.ArrayLike) -> Array:
        """Return scores (C,) of candidates (C,) after a history; DataError where an item is not in the catalogue."""
        now = self._in_force
        known = self._history(history, now.catalogue)
        scores: Array = now.catalogue.score(self.queries([known], now), np.asarray(candidates)[None])[0]
        return scores

    def queries(self, histories: Sequence[Items], under: InForce) -> Array:
        """Return queries (B, w) after histories, under an edit that need not be in force.

        DataError where a query is not finite.
        """
        windows = np.zeros((len(histories), self._length), np.float32)
        for row, history in enumerate(histories):
            last = history[history <= under.catalogue.n_known][-self._length :]
            if len(last):
                windows[row, -len(last) :] = last
        queries, _ = self._model.run(windows, under.weights)
        if not np.isfinite(queries).all():
            raise DataError(f"the query under {under.name} is not finite; put another edit in force")
        return queries

    def under(self, edit: Edit | None, name: str, rung: Rung = "by hand") -> InForce:
        """Return what would be in force with an edit, without putting it there; EditError where it does not fit."""
        return InForce(name, self._model.weights(edit), self._in_force.catalogue, rung)

    def swap(self, candidate: InForce) -> None:
        """Put the edit in force that `under` returned; the catalogue stays."""
        with self._lock:
            self._in_force = replace(candidate, catalogue=self._in_force.catalogue)

    def drop_expired(self, now_s: float) -> InForce | None:
        """Put the base in force if what is there has expired at a time of the clock; return what it was, or None."""
        with self._lock:
            old = self._in_force
            if now_s < old.expires_at:
                return None
            self._in_force = replace(self.base, catalogue=old.catalogue)
        return old

    def _history(self, history: npt.ArrayLike, catalogue: Catalogue) -> Items:
        found = catalogue.numbers(np.asarray(history), "a history's items")
        if found.ndim != 1:
            raise DataError(f"a history has shape {found.shape}; wanted item numbers in a row, oldest first")
        return found

    def _check_width(self) -> None:
        width = self.queries([np.zeros(0, np.int64)], self.base).shape[1]
        if width != self.base.catalogue.width:
            raise BundleError(
                f"a bundle's graph gives queries of {width} numbers, its catalogue has {self.base.catalogue.width}; "
                "export both anew"
            )
