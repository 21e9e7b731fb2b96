"""Statistics of a recent period → one change of the table for everybody, by a small trained map.

The map reads every item by itself, by the same 169 numbers: what it learnt on an earlier period holds for a
later one, for items that were new then, and for another backbone of the same kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from persona.backbones.edited import Broadcast
from persona.backbones.items import PADDING

FEATURES = 6
TRUST = 5.0  # events that a mean state is shrunk by


@dataclass(frozen=True, eq=False)
class PeriodStatistics:
    """Sums over a period's events, a row an item, padding first: no event and no user can be read out of them.

    How often an item `happened`, how often the backbone `expected` it, the states that stood before it (`before`) and
    those that it was expected after (`after`), each less the period's mean state, and how often it was `trained` on.
    """

    happened: Float[Tensor, " i"]
    expected: Float[Tensor, " i"]
    before: Float[Tensor, "i d"]
    after: Float[Tensor, "i d"]
    trained: Float[Tensor, " i"]

    def features(self) -> Float[Tensor, "i f"]:
        """Return what the map reads of each item: (I + 1, 6)."""
        events = self.happened.sum().clamp(min=1)
        ratio = ((self.happened + 1) / (self.expected + 1)).log()
        share = (len(self.happened) * (self.happened + 1) / events).log()
        return torch.stack(
            [ratio, self.happened.log1p(), self.expected.log1p(), self.trained.log1p(), share,
             (self.trained == 0).float()], dim=1,
        )  # fmt: skip


class BroadcastMap(nn.Module):
    """A net of one hidden layer from an item's statistics to its change of bias and of vector; it starts at none.

    The vector moves along the mean state that stood before the item, and against the one it was expected after, each
    as far as the map says. `vectors=False` leaves the vectors alone.
    """

    def __init__(self, hidden: int = 16, *, vectors: bool = True) -> None:
        super().__init__()
        self.vectors = vectors
        self.inner, self.outer = nn.Linear(FEATURES, hidden), nn.Linear(hidden, 3 if vectors else 1)
        self.straight = nn.Parameter(torch.zeros(FEATURES))
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, statistics: PeriodStatistics) -> Broadcast:
        """Return the change of the table that a period asks for."""
        features = statistics.features()
        found = self.outer(torch.tanh(self.inner(features)))  # (I + 1, 1 or 3)
        real = torch.ones_like(found[:, 0])
        real[PADDING] = 0
        bias = (found[:, 0] + features @ self.straight) * real
        if not self.vectors:
            return Broadcast(bias)
        towards = statistics.before / (statistics.happened + TRUST)[:, None]
        away = statistics.after / (statistics.expected + TRUST)[:, None]
        return Broadcast(bias, (found[:, 1:2] * towards - found[:, 2:3] * away) * real[:, None])
