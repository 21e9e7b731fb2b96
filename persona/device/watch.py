"""The watch on what is in force and on who sends it: sums of strains, with hysteresis both ways.

One strange window is noise, and one strange answer bad luck; many in a row are neither. A strain is 0 at what is usual
for honest edits, 1 at the most that is accepted. What exceeds an allowance is summed up, and what stays below it is
taken off again, down to 0 (CUSUM: Page, Biometrika 1954). Windows of one domain strain alike, by as much as the map is
wrong there, so the allowance of a window is the whole of what is accepted; answers, which a liar may choose to lie just
within that, are allowed half.
"""

from __future__ import annotations

from dataclasses import dataclass

# A sum above this is an alarm: five answers just within the limit, or two gross lies.
ALARM = 2.0
# One outlier adds at most so much, so that none decides alone.
LARGEST = 1.5
# A sum is full here, so that forgiving takes a bounded number of honest answers.
FULL = 4.0
# Strain that is let pass: of a window under an edit, and of an answer in its trial.
OF_WINDOW, OF_ANSWER = 1.0, 0.5
# Calm windows before a device climbs again: so many at first, twice as many after each further fall, this many at most.
FIRST_CALM, MOST_CALM = 2, 32


@dataclass
class Strain:
    """A sum of strains beyond an allowance: 0 or above; an alarm holds until it has come down to 0 again."""

    allowance: float = 0.0
    total: float = 0.0
    alarmed: bool = False

    def add(self, strain: float) -> bool:
        """Take a strain; return whether the alarm is raised or still holds."""
        self.total = min(max(self.total + min(strain - self.allowance, LARGEST), 0.0), FULL)
        self.alarmed = self.total > ALARM or (self.alarmed and self.total > 0)
        return self.alarmed

    def clear(self) -> None:
        """Begin anew."""
        self.total, self.alarmed = 0.0, False


class Ladder:
    """When to step down from what is in force, and when to climb again. Not for several threads at once.

    The rungs, from the top: the cloud's answer, the device's own prototype, the default prototype, the base model.
    """

    def __init__(self) -> None:
        self._strain = Strain(OF_WINDOW)
        self._calm, self._wanted = 0, FIRST_CALM
        self.falls = 0

    @property
    def strain(self) -> float:
        """The sum so far."""
        return self._strain.total

    def falls_after(self, strain: float) -> bool:
        """Take the strain of a window under an edit; return whether that is the end of the edit."""
        if not self._strain.add(strain):
            return False
        self._strain.clear()
        self._calm = 0
        self._wanted = min(2 * self._wanted, MOST_CALM) if self.falls else FIRST_CALM
        self.falls += 1
        return True

    def climbs_after(self, strain: float) -> bool:
        """Take the strain that a window would have on a higher rung; return whether to climb there.

        It must be usual, not merely accepted, for a number of windows in a row.
        """
        self._calm = self._calm + 1 if strain <= 0 else 0
        return self._calm >= self._wanted

    def start(self) -> None:
        """Something else came into force: what was summed up said nothing of it."""
        self._strain.clear()
        self._calm = 0

    def new_domain(self) -> None:
        """The data is elsewhere, so that what failed before may do well."""
        self.start()
        self._wanted = FIRST_CALM
