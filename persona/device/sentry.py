"""The watch at work: window by window, does what is in force still fit what the device sees?

Two figures are compared with those of honest edits: how far the code in force lies from what the device's own map makes
of the present sketch, and how many answers the edit changes against the base model. Entropy is not among them.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

from persona.device.candidate import Workshop
from persona.device.guard import Guard, differing
from persona.device.in_force import InForce
from persona.device.present import Present
from persona.device.stand import Stand
from persona.edit import Array
from persona.errors import PersonaError

logger = logging.getLogger(__name__)


@dataclass
class _Tally:
    """Answers compared since the last window ended, all under one edit."""

    of: InForce | None = None
    count: int = 0
    differ: float = 0.0


@dataclass(frozen=True)
class Sentry:
    """Watches one device. Many threads may call it. Without a tether it sees to expiry, and counts for the policy."""

    workshop: Workshop
    guard: Guard
    present: Present
    stand: Stand
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _tally: _Tally = field(default_factory=_Tally)

    def saw(self, now: InForce, edited: Array, plain: Array) -> None:
        """Take the logits (N, C) of samples under what was in force and under base weights; act where a window ends."""
        with self._lock:
            tally = self._tally
            if tally.of is not now:
                tally.of, tally.count, tally.differ = now, 0, 0.0
            tally.count += len(edited)
            tally.differ += differing(edited, plain) * len(edited)
            if tally.count < self.workshop.bundle.jump.window:
                return
            count, share = tally.count, tally.differ / tally.count
            tally.count, tally.differ = 0, 0.0
        figures = self.present.figures()
        with self.stand.lock:
            self.stand.schedule.window(*figures)
        if now.rung == "by hand":
            return
        if now.expires_at <= self.workshop.clock():
            self._step_down(now, f"{now.name} has expired", at_fault=False)
        elif self.workshop.bundle.tether is None:
            return
        elif now.rung in ("base", "default"):
            self._consider_climbing(now, self.guard.share_strain("change", share, count))
        else:
            self._consider_falling(now, self.guard.share_strain("change", share, count))

    def _consider_falling(self, now: InForce, change: float) -> None:
        if now.code is None:
            return
        bare, later = now.residual is None, now.rung == "answer"
        misfit = self.guard.code_strain(now.code, self.present.sketch(), bare=bare, later=later)
        with self.stand.lock:
            falls = self.stand.in_force is now and self.stand.ladder.falls_after(max(misfit, change))
            strain = self.stand.ladder.strain
        logger.debug("%s was watched: misfit=%.2f change=%.2f strain=%.2f", now.name, misfit, change, strain)
        if falls:
            self._step_down(now, f"{now.name} does not fit the data: misfit={misfit:.2f} change={change:.2f}")

    def _step_down(self, now: InForce, why: str, at_fault: bool = True) -> None:
        """Put the next rung down in force that fits; an answer that was at fault makes the next request wait."""
        new = self._lower(now)
        said = f"fell to {new.name}: {why}"
        with self.stand.lock:
            if self.stand.in_force is not now:  # something else came into force meanwhile
                return
            if now.rung == "answer":
                self.stand.schedule.gave_way()
                if at_fault:
                    self.stand.schedule.failed()
            self.stand.put(new)
            self.stand.note(guarded=said)
        logger.warning("%s", said)

    def _lower(self, now: InForce) -> InForce:
        memory, x, tether = self.present.memory(), self.present.last_x, self.workshop.bundle.tether
        try:
            if now.rung in ("answer", "prototype"):
                own = self.workshop.nearest(memory, x)
                strain = self.guard.code_strain(own.code, memory.sketch, bare=True)
                if strain <= 1 and (now.rung == "answer" or own.prototype != now.prototype):
                    return own.in_force("prototype")
                if tether is not None and tether.default is not None:
                    return self.workshop.make(tether.default, None, memory, x).in_force("default")
        except PersonaError as error:  # the base model is always sound
            logger.warning("no rung below %s but the base model: %s", now.name, error)
        return self.stand.base

    def _consider_climbing(self, now: InForce, change: float) -> None:
        with self.stand.lock:
            falls = now.rung == "default" and self.stand.ladder.falls_after(change)
        if falls:
            self._step_down(now, f"the default changes too many answers: change={change:.2f}")
            return
        memory, x = self.present.memory(), self.present.last_x
        try:
            own = self.workshop.nearest(memory, x)
            plain, _ = self.workshop.model.run(x, self.stand.base.weights)
        except PersonaError as error:
            logger.debug("no climb from %s: %s", now.name, error)
            return
        strains = self.guard.prototype_strains(own.code, memory.sketch, own.logits, plain)
        self._climb(now, own.in_force("prototype"), max(strains))

    def _climb(self, now: InForce, new: InForce, strain: float) -> None:
        with self.stand.lock:
            if self.stand.in_force is not now or not self.stand.ladder.climbs_after(strain):
                return
            said = f"climbed to {new.name}: it has fitted for windows in a row, strain={strain:.2f}"
            self.stand.put(new)
            self.stand.count(climbs=1)
            self.stand.note(guarded=said)
        logger.info("%s", said)
