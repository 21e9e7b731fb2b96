"""When to ask the cloud: a policy says when it is worth a request, a schedule keeps failures from becoming a storm."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Observation:
    """What a policy knows.

    `samples` remembered now; `since_answer` samples met since an answer last came into force; `jumped` whether the
    data has left its domain since then (true at the start: nothing is known of any domain); `expired` whether the
    edit in force has outlived its expiry; `since_try_s` seconds since the last request, infinite before the first.
    """

    samples: int
    since_answer: int
    jumped: bool
    expired: bool
    since_try_s: float


class Policy(Protocol):
    """Decides when a request is worth its bytes. The runtime sees to enough samples and to the wait after a failure."""

    def should_ask(self, seen: Observation) -> bool:
        """Return whether to ask now."""


@dataclass(frozen=True)
class EveryN:
    """Ask once every `samples` samples."""

    samples: int

    def should_ask(self, seen: Observation) -> bool:
        """Return whether that many samples have come since the last answer."""
        return seen.since_answer >= self.samples


@dataclass(frozen=True)
class OnJump:
    """Ask when the data has left its domain, and at the start."""

    def should_ask(self, seen: Observation) -> bool:
        """Return whether it has."""
        return seen.jumped


@dataclass(frozen=True)
class Standard:
    """Ask after a jump, every `every` samples, and when the edit in force has expired."""

    every: int = 256

    def should_ask(self, seen: Observation) -> bool:
        """Return whether one of the three is the case."""
        return seen.jumped or seen.expired or seen.since_answer >= self.every


@dataclass(frozen=True)
class Backoff:
    """Seconds to wait after failures in a row: `first_s`, then twice as long each time, `most_s` at most."""

    first_s: float = 1.0
    most_s: float = 300.0

    def wait_s(self, failures: int) -> float:
        """Return the wait after that many failures in a row: 0 after none."""
        if not failures:
            return 0.0
        return min(self.first_s * 2.0 ** min(failures - 1, 64), self.most_s)


class Schedule:
    """Follows what happens to a device's requests and says when the next is due. Not for several threads at once."""

    def __init__(self, policy: Policy, backoff: Backoff, clock: Callable[[], float]) -> None:
        self._policy = policy
        self._backoff = backoff
        self._clock = clock
        self._since_answer = 0
        self._jumped = True
        self._failures = 0
        self._tried_at = self._failed_at = -math.inf

    def saw(self, samples: int) -> None:
        """Count samples that were predicted."""
        self._since_answer += samples

    def jumped(self) -> None:
        """The data has left its domain."""
        self._jumped = True

    def tried(self) -> None:
        """A request is on its way."""
        self._tried_at = self._clock()

    def settled(self) -> None:
        """Its answer came into force, or an edit by hand did."""
        self._since_answer = self._failures = 0
        self._jumped = False

    def failed(self) -> None:
        """It had no answer, or one that cannot be used."""
        self._failures += 1
        self._failed_at = self._clock()

    def came_late(self) -> None:
        """It had a sound answer, for data that is over: no fault of the service."""
        self._failures = 0
        self._jumped = True

    def due(self, samples: int, expires_at: float) -> bool:
        """Return whether to ask now, with `samples` remembered and an edit in force until a time of the clock."""
        now = self._clock()
        if now - self._failed_at < self._backoff.wait_s(self._failures):
            return False
        seen = Observation(samples, self._since_answer, self._jumped, now >= expires_at, now - self._tried_at)
        return self._policy.should_ask(seen)
