"""What a policy is told, and what it has to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Observation:
    """What a policy knows.

    `samples` remembered now; `since_answer` samples met since an answer last came into force; `jumped` whether the
    data has left its domain since then (true at the start: nothing is known of any domain); `expired` whether that
    answer has outlived its expiry, or gave way to the guard since; `since_try_s` seconds since the last request,
    infinite before the first.

    Of the last whole window: `windows` how many there were since that answer; `drift` its distance from where the data
    was then, in thresholds of the jump test; `moved` how far the code of the device's own map has gone since then, in
    limits of the tether or, without one, in norms of the prototypes; `uncertainty` the mean entropy of the base model's
    answers, as a share of the most there can be.
    """

    samples: int
    since_answer: int
    jumped: bool
    expired: bool
    since_try_s: float
    windows: int = 0
    drift: float = 0.0
    moved: float = 0.0
    uncertainty: float = 0.0


class Policy(Protocol):
    """Decides when a request is worth its bytes.

    The runtime sees to enough samples, to the budget and to the wait after a failure. It asks one thread at a time.
    """

    def should_ask(self, seen: Observation) -> bool:
        """Return whether to ask now."""
