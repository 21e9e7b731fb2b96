"""What an adapter of heads reads: the long history of a user, which no device keeps, before each of some targets.

Targets that are near each other share the keys of one row, so that a history is read once for up to K targets.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

# Ages are read by the power of two of their seconds, from a minute up; 0 stands for an unknown age.
AGES = 24
_FIRST_AGE = 6


@dataclass(frozen=True, eq=False)
class History:
    """N events for B rows, and how far before each of a row's K targets they lie.

    `surprise` is the gradient of each event's log-likelihood in the base's query: its item's vector less the one that
    the base expected. `distance` is 1 for the event just before a target; below 1, or above what is read, an event
    does not count for it. `ages` are in buckets.
    """

    items: Int[Tensor, "b n"]
    surprise: Float[Tensor, "b n d"]
    distance: Int[Tensor, "b k n"]
    ages: Int[Tensor, "b k n"]

    def counts(self, reach: int) -> Bool[Tensor, "b k n"]:
        """Return which events count for which target."""
        return (self.items != 0)[:, None] & (self.distance >= 1) & (self.distance <= reach)


def age_buckets(seconds: Tensor) -> Tensor:
    """Return the bucket of ages in seconds, 1 up to `AGES` - 1."""
    return (torch.log2(seconds.float().clamp(min=1)) - _FIRST_AGE).clamp(0, AGES - 2).long() + 1
