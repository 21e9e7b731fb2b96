"""Page–Hinkley: has the mean of a stream of numbers risen? (Page, Biometrika 1954; Hinkley, Biometrika 1971)"""

from __future__ import annotations

from persona.device.policies.base import Observation
from persona.errors import DataError


class PageHinkley:
    """Sums what numbers exceed their own running mean by; an alarm when the sum has risen far above its least value.

    `least` numbers come before the first alarm; a rise of less than `tolerance` a number does not count; `threshold`
    the rise that is an alarm.
    """

    def __init__(self, tolerance: float = 0.05, threshold: float = 1.0, least: int = 3) -> None:
        """DataError where a number makes no sense."""
        if not (tolerance >= 0 and threshold > 0 and least >= 1):
            raise DataError(
                f"Page–Hinkley has tolerance {tolerance}, threshold {threshold}, least {least}; wanted 0 or more, "
                "a positive number, 1 or more"
            )
        self._tolerance, self._threshold, self._least = tolerance, threshold, least
        self.restart()

    def restart(self) -> None:
        """Forget every number."""
        self._count, self._mean, self._sum, self._lowest = 0, 0.0, 0.0, 0.0

    def update(self, value: float) -> bool:
        """Take a number; return whether that is an alarm."""
        self._count += 1
        self._mean += (value - self._mean) / self._count
        self._sum += value - self._mean - self._tolerance
        self._lowest = min(self._lowest, self._sum)
        return self._count >= self._least and self._sum - self._lowest > self._threshold


class OnDrift:
    """Ask after a jump, when the edit has expired, and when the sketch drifts away window by window.

    The drift is `Observation.drift`, so `threshold` is in windows' worth of a whole jump. For one device: it remembers.
    """

    def __init__(self, test: PageHinkley | None = None) -> None:
        self._test = test or PageHinkley()
        self._windows = 0
        self._alarmed = False

    def should_ask(self, seen: Observation) -> bool:
        """Return whether to ask now; an alarm holds until an answer comes into force."""
        if seen.windows < self._windows:  # an answer came: drift is counted from there
            self._test.restart()
            self._windows, self._alarmed = 0, False
        if seen.windows > self._windows:
            self._windows = seen.windows
            self._alarmed = self._test.update(seen.drift) or self._alarmed
        return seen.jumped or seen.expired or self._alarmed
