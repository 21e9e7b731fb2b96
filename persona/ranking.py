"""What a bundle that ranks items says of them: which file of item vectors it scores, and what an event looks like.

Its graph reads windows of item numbers, the last event in the last column and zeros before the first, and gives a
*query* (w,) in the place of logits. Its adapter reads events rather than windows: rows of (item, age in seconds),
oldest first, whole numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from persona.edit import Array
from persona.errors import SpecError, UnusableRequest
from persona.item_vectors import ITEMS_LIMIT

EVENT_SHAPE = (2,)
# Room for a text map and a header, when a file of items is fetched.
TEXT_MAP_LIMIT_BYTES = 16 << 20
# An age beyond 2^31 - 1 seconds, 68 years, counts as that.
AGE_LIMIT_S = (1 << 31) - 1


@dataclass(frozen=True)
class RankingSpec:
    """`items` I, `width` w of a query, and the `fingerprint` of the file that holds the items' vectors."""

    items: int
    width: int
    fingerprint: str

    def __post_init__(self) -> None:
        """SpecError where a number or the fingerprint makes no sense."""
        if not (1 <= self.items <= ITEMS_LIMIT and self.width >= 1):
            raise SpecError(
                f"a ranking has {self.items} items by {self.width} numbers; wanted 1 to {ITEMS_LIMIT:,}, and 1 or more"
            )
        if not re.fullmatch("[0-9a-f]{64}", self.fingerprint):
            raise SpecError(f"a ranking names items {self.fingerprint!r}; wanted 64 hexadecimal digits")

    @property
    def most_bytes(self) -> int:
        """What the file of items takes at most, as float32 and with a text map."""
        return (self.items + 1) * (4 * self.width + 8) + TEXT_MAP_LIMIT_BYTES

    def check_events(self, events: Array) -> None:
        """Raise UnusableRequest where events (S, 2) name items that are not there, or ages below 0."""
        items, ages = events[:, 0], events[:, 1]
        if not ((items >= 1) & (items <= self.items) & (items == np.floor(items))).all():
            raise UnusableRequest(f"a request names items outside 1 to {self.items}; leave those events out")
        if not (ages >= 0).all():
            raise UnusableRequest("a request has ages below 0; an age is how many seconds ago an event was")

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"items": self.items, "width": self.width, "fingerprint": self.fingerprint}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RankingSpec:
        """Read what `to_json` wrote; SpecError where it is something else."""
        try:
            return cls(int(value["items"]), int(value["width"]), str(value["fingerprint"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise SpecError(f"a ranking in JSON is malformed ({error!r}); wanted items, width, fingerprint") from error
