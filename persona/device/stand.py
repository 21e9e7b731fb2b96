"""Where a device stands: what is in force, when to ask next, and the status, changed together under one lock."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import Any

from persona.device.in_force import InForce
from persona.device.keeper import Keeper
from persona.device.policies import Schedule
from persona.device.status import Status
from persona.device.watch import OF_ANSWER, Ladder, Strain

logger = logging.getLogger(__name__)


class Stand:
    """The lock is short: it is never held during a run. Where a method says so, the caller holds it.

    `keeper` is told of everything that comes into force.
    """

    def __init__(self, base: InForce, schedule: Schedule, status: Status, keeper: Keeper) -> None:
        self.base, self.schedule, self._keeper = base, schedule, keeper
        self.lock = threading.Lock()
        self.ladder, self.trust = Ladder(), Strain(OF_ANSWER)
        self.by_hand = 0  # how often an edit was put in force by hand
        self._in_force, self._status = base, status

    @property
    def in_force(self) -> InForce:
        """What predictions are to use: one reference, read without the lock."""
        return self._in_force

    @property
    def status(self) -> Status:
        """The status at this moment."""
        with self.lock:
            strain, of_cloud = self.ladder.strain, self.trust.total
            now = replace(self._status, storage=self._keeper.problem)
            return replace(now, falls=self.ladder.falls, strain=strain, cloud_strain=of_cloud)

    def put(self, in_force: InForce) -> None:
        """Swap the one reference that predictions read. The lock is held."""
        self._in_force = in_force
        self.ladder.start()
        self._keeper.keep(in_force)
        self.note(in_force=in_force.name, rung=in_force.rung)

    def note(self, **changes: Any) -> None:
        """Change the status. The lock is held."""
        self._status = replace(self._status, **changes)

    def count(self, **more: int) -> None:
        """Add to counters of the status. The lock is held."""
        self.note(**{name: getattr(self._status, name) + number for name, number in more.items()})

    def fail(self, reason: object) -> None:
        """Note that a request failed, and why; the next one waits."""
        with self.lock:
            self.schedule.failed()
        self.refuse(reason)

    def refuse(self, reason: object) -> None:
        """Note why nothing changed, and count it."""
        said = str(reason) or repr(reason)
        logger.warning("refused, with %s in force: %s", self._in_force.name, said)
        with self.lock:
            self.count(refused=1)
            self.note(reason=said)
