"""From a policy's wish to a request: waits after failures, an hourly budget, and dice, so that no fleet stampedes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from persona.device.policies.base import Observation, Policy
from persona.errors import DataError

Clock = Callable[[], float]
_HOUR_S = 3600.0


class Dice(Protocol):
    """Throws numbers, as numpy's and the standard library's generators do."""

    def random(self) -> float:
        """Return a number in [0, 1)."""
        ...


@dataclass(frozen=True)
class Backoff:
    """Seconds to wait after failures in a row: `first_s`, then twice as long each time, `most_s` at most.

    `jitter` in [0, 1] is the share of a wait that dice decide, so that devices which failed together do not come back
    together.
    """

    first_s: float = 1.0
    most_s: float = 300.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        """DataError where the jitter is no share."""
        if not 0 <= self.jitter <= 1:
            raise DataError(f"a back-off has jitter {self.jitter}; wanted a share from 0 to 1")

    def wait_s(self, failures: int) -> float:
        """Return the longest wait after that many failures in a row: 0 after none."""
        if not failures:
            return 0.0
        return min(self.first_s * 2.0 ** min(failures - 1, 64), self.most_s)

    def draw_s(self, failures: int, rng: Dice) -> float:
        """Return a wait, from the longest down by up to the jitter's share."""
        return self.wait_s(failures) * (1 - self.jitter * rng.random())


@dataclass(frozen=True)
class Pace:
    """How a device keeps to what a service can bear.

    `per_hour` requests at most in the long run, `burst` of them at once; None: no budget. `spread_s` a request waits a
    time drawn evenly from 0 to this after it was wished for: what jumps for a whole fleet at once is then asked about
    over that time, while each device lives on its own prototype. `backoff` after failed requests.
    """

    per_hour: float | None = None
    burst: int = 4
    spread_s: float = 0.0
    backoff: Backoff = Backoff()

    def __post_init__(self) -> None:
        """DataError where a number makes no sense."""
        if (self.per_hour is not None and not self.per_hour > 0) or self.burst < 1 or not self.spread_s >= 0:
            raise DataError(
                f"a pace has {self.per_hour} requests an hour, burst {self.burst}, spread {self.spread_s} s; wanted a "
                "positive number or None, 1 or more, 0 or more"
            )


class TokenBucket:
    """A budget: `per_s` tokens come in a second, `most` are kept; it starts full."""

    def __init__(self, per_s: float, most: int, clock: Clock) -> None:
        self._per_s, self._most, self._clock = per_s, float(most), clock
        self._tokens, self._at = float(most), clock()

    def has_one(self) -> bool:
        """Return whether a token is there."""
        now = self._clock()
        self._tokens = min(self._tokens + max(now - self._at, 0.0) * self._per_s, self._most)
        self._at = now
        return self._tokens >= 1 - 1e-9

    def take(self) -> None:
        """Take a token, or what there is of one: a request that was made by hand is paid for too."""
        self.has_one()
        self._tokens = max(self._tokens - 1.0, 0.0)


class Schedule:
    """Follows what happens to a device's requests and says when the next is due. Not for several threads at once."""

    def __init__(self, policy: Policy, pace: Pace, clock: Clock, rng: Dice) -> None:
        self._policy, self._pace, self._clock, self._rng = policy, pace, clock, rng
        self._bucket = None if pace.per_hour is None else TokenBucket(pace.per_hour / _HOUR_S, pace.burst, clock)
        self._since_answer = self._windows = self._failures = 0
        self._figures = (0.0, 0.0, 0.0)
        self._jumped, self._gave_way = True, False
        self._tried_at, self._not_before = -math.inf, -math.inf
        self._wished_until: float | None = None  # where a wish waits for its time

    def saw(self, samples: int) -> None:
        """Count samples that were predicted."""
        self._since_answer += samples

    def window(self, drift: float, moved: float, uncertainty: float) -> None:
        """A window ended, with these figures of `Observation`."""
        self._windows += 1
        self._figures = (drift, moved, uncertainty)

    def jumped(self) -> None:
        """The data has left its domain."""
        self._jumped = True

    def tried(self) -> None:
        """A request is on its way."""
        self._tried_at = self._clock()
        self._wished_until = None
        if self._bucket is not None:
            self._bucket.take()

    def settled(self) -> None:
        """Its answer came into force, or an edit by hand did."""
        self._since_answer = self._windows = self._failures = 0
        self._figures = (0.0, 0.0, 0.0)
        self._jumped = self._gave_way = False
        self._not_before, self._wished_until = -math.inf, None

    def gave_way(self) -> None:
        """The answer in force expired, or did not fit any more, and something humbler stands in for it."""
        self._gave_way = True

    def failed(self) -> None:
        """It had no answer, or one that cannot be used."""
        self._failures += 1
        self._not_before = self._clock() + self._pace.backoff.draw_s(self._failures, self._rng)

    def came_late(self) -> None:
        """It had a sound answer, for data that is over: no fault of the service."""
        self._failures = 0
        self._not_before = -math.inf
        self._jumped = True

    def due(self, samples: int, expires_at: float) -> bool:
        """Return whether to ask now, with `samples` remembered and an edit in force until a time of the clock."""
        now = self._clock()
        if now < self._not_before:
            return False
        expired = self._gave_way or now >= expires_at
        counts = (samples, self._since_answer, self._jumped, expired, now - self._tried_at, self._windows)
        if not self._policy.should_ask(Observation(*counts, *self._figures)):
            self._wished_until = None
            return False
        if self._wished_until is None:
            self._wished_until = now + self._pace.spread_s * self._rng.random()
        return now >= self._wished_until and (self._bucket is None or self._bucket.has_one())
