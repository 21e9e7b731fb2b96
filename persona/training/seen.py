"""Items already seen: what a user met before an event is neither recommended nor learnt from as an alternative."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from persona.tasks.recommendation.events import EventLog, Positions


class SeenItems:
    """The distinct items of each user in the order of their first events: what preceded an event is a run of them."""

    def __init__(self, log: EventLog) -> None:
        self.n_items = log.n_items
        keys = log.users.astype(np.int64) * (log.n_items + 1) + log.items
        self._keys, self._firsts = np.unique(keys, return_index=True)
        first = np.zeros(len(log), bool)
        first[self._firsts] = True
        self._users, self._offsets = log.users, log.offsets
        self._before = np.concatenate([[0], np.cumsum(first)])  # (N + 1,): distinct items before each event
        self._distinct = torch.from_numpy(log.items[first].astype(np.int64))

    def before(self, events: Positions, device: torch.device | str = "cpu") -> Runs:
        """Return what was seen before each of some events (Q,)."""
        starts = self._before[self._offsets[self._users[events]]]
        self._distinct = self._distinct.to(device)
        return Runs(self._distinct, *(torch.from_numpy(x).to(device) for x in (starts, self._before[events] - starts)))

    def first_met(self, events: Positions, items: npt.NDArray[np.int64]) -> Positions:
        """Return where the user of each event (Q,) first met each of some items (Q, C), N for never."""
        keys = self._users[events].astype(np.int64)[:, None] * (self.n_items + 1) + items
        places = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
        return np.where(self._keys[places] == keys, self._firsts[places], len(self._users))


class Runs:
    """Rows of seen items: row q is ``items[starts[q] : starts[q] + counts[q]]``."""

    def __init__(self, items: Tensor, starts: Tensor, counts: Tensor) -> None:
        self.items, self.starts, self.counts = items, starts, counts

    def __getitem__(self, rows: slice) -> Runs:
        """Return some of the rows."""
        return Runs(self.items, self.starts[rows], self.counts[rows])

    def pairs(self) -> tuple[Tensor, Tensor]:
        """Return all rows and their items, one pair for each item seen: (P,) and (P,)."""
        ends = self.counts.cumsum(0)
        rows = torch.repeat_interleave(self.counts)
        places = torch.arange(len(rows), device=rows.device) + (self.starts - ends + self.counts)[rows]
        return rows, self.items[places]

    def fill_(self, scores: Tensor, value: float = -torch.inf) -> None:
        """Write a value over the scores (Q, I + 1) of what each row has seen, in place."""
        rows, items = self.pairs()
        scores.view(-1).index_fill_(0, rows.mul_(scores.shape[1]).add_(items), value)

    def among(self, items: Tensor, n_items: int) -> Tensor:
        """Return whether each row has seen each of some different items (C,): (Q, C)."""
        places = torch.full((n_items + 1,), -1, device=items.device)
        places[items] = torch.arange(len(items), device=items.device)
        rows, seen = self.pairs()
        at = places[seen]
        found = torch.zeros(len(self.counts), len(items), dtype=torch.bool, device=items.device)
        found[rows[at >= 0], at[at >= 0]] = True
        return found
