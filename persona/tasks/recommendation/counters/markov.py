"""Markov: what came next after this item, backed off to popularity where little is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from persona.errors import DataError
from persona.tasks.recommendation.counters.base import Ages, Table, Windows, checked
from persona.tasks.recommendation.counters.pairs import Lags, PairTable, count_pairs
from persona.tasks.recommendation.counters.popularity import Popularity
from persona.tasks.recommendation.events import EventLog


@dataclass(frozen=True, eq=False)
class Markov:
    """``P(j | i) = (n_ij + κ · share_j) / (n_i + κ)``: transitions n, popularity shares, and κ events of trust."""

    shares: npt.NDArray[np.float32]  # (I + 1,)
    transitions: PairTable  # n_ij / (n_i + κ)
    left: npt.NDArray[np.float32]  # (I + 1,) κ / (n_i + κ), 1 for padding

    @classmethod
    def fit(cls, log: EventLog, back_off: float = 1.0) -> Markov:
        """Count a log's transitions between neighbours; `back_off` is κ. DataError where it is not positive."""
        if not back_off > 0:
            raise DataError(f"a back-off of {back_off} events; wanted more than 0, so that new items have an answer")
        same_user = (log.users[1:] == log.users[:-1]) & (log.items[1:] != log.items[:-1])
        leaving = np.bincount(log.items[:-1][same_user], minlength=log.n_items + 1)
        table = count_pairs(log, Lags({1: 1.0}), lambda source, _, sums: sums / (leaving[source] + back_off))
        return cls(Popularity.fit(log).shares, table, (back_off / (leaving + back_off)).astype(np.float32))

    def scores(self, windows: Windows, ages: Ages | None = None) -> Table:
        """The probabilities of the next item after the last one of each window; of any item where it is empty."""
        last = checked(windows, self.transitions.n_items)[:, -1:]
        scores = self.left[last] * self.shares[None]
        self.transitions.add_to(scores, last, np.ones(last.shape, np.float32))
        return scores
