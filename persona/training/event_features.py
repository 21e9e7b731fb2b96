"""What a frozen backbone makes of every event of a log, once: its state before it, and what surprised it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from persona.adapters.heads.history import age_buckets
from persona.backbones.edited import EditedHead
from persona.errors import DataError
from persona.tasks.recommendation.events import EventLog
from persona.tasks.recommendation.ranking import blocks
from persona.training.seen import SeenItems


@dataclass(frozen=True, eq=False)
class EventFeatures:
    """A row for each of N events: the state (N, d) before it, and its surprise (N, d).

    The surprise of an event is ``e_i - Σ_j p_j e_j`` with what the backbone expected, what was seen left out: the
    gradient of the event's log-likelihood in the query.
    """

    log: EventLog
    seen: SeenItems
    states: Tensor
    surprise: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, head: EditedHead, log: EventLog) -> EventFeatures:
        """Run the backbone over a log. DataError where it has other items."""
        if log.n_items != head.n_items:
            raise DataError(f"the log has {log.n_items} items and the head was made for {head.n_items}; make it anew")
        seen = SeenItems(log)
        items = head.backbone.table()[0]
        states = torch.empty(len(log), head.d)
        surprise = torch.empty(len(log), head.d)
        for block in blocks(np.arange(len(log)), log.n_items):
            states[block] = head.state(torch.from_numpy(log.windows(block, head.length)))
            scores = head.backbone.scores(states[block])
            seen.before(block).fill_(scores)
            surprise[block] = items[torch.from_numpy(log.items[block].astype(np.int64))] - scores.softmax(dim=1) @ items
        return cls(log, seen, states, surprise)

    def ages(self, targets: Tensor, keys: Tensor) -> Tensor:
        """Return buckets of the ages of keys (B, N) at targets (B, K): (B, K, N), 0 where the log has no times."""
        if self.log.times is None:
            return torch.zeros(*targets.shape, keys.shape[1], dtype=torch.long)
        times = torch.from_numpy(self.log.times)
        return age_buckets((times[targets][:, :, None] - times[keys][:, None]).clamp(min=0))
