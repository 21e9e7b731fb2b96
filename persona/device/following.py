"""A domain that is new: what comes into force there before any answer, from the bank or from an earlier process."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from persona.device.candidate import Workshop
from persona.device.guard import Guard, check_reply, check_strain
from persona.device.in_force import InForce, KeptEdit
from persona.device.jump_test import Arrival
from persona.device.present import Present
from persona.device.stand import Stand
from persona.edit import Array
from persona.errors import DataError, PersonaError
from persona.wire import AdaptReply

logger = logging.getLogger(__name__)

_ARRIVALS = {"first": "the first window is here", "jump": "the data jumped to another domain"}


@dataclass
class Following:
    """Finds what fits the window that has just begun a domain. `clock` tells what has expired."""

    workshop: Workshop
    guard: Guard
    present: Present
    stand: Stand
    clock: Callable[[], float]
    _kept: KeptEdit | None = field(default=None, init=False)
    _expires_at: float = field(default=math.inf, init=False)

    def keep(self) -> KeptEdit | None:
        """Return the answer in force, with the seconds it has left; None where something else is in force."""
        return self.stand.in_force.kept(self.workshop.bundle.bank.version, self.clock())

    def resume(self, kept: KeptEdit) -> None:
        """Take an answer to be tried with the first window; errors as from a reply of another bank or shape."""
        bundle = self.workshop.bundle
        reply = AdaptReply(bundle.fingerprint, kept.prototype, kept.bank_version, 0, kept.residual, "float32")
        check_reply(AdaptReply.decode(reply.encode(), bundle.decoder.code_shape), bundle)
        bundle.bank.compose(kept.prototype, kept.residual)
        if kept.place.moments.shape != self.present.place().moments.shape:
            raise DataError(
                f"a kept edit's place has {kept.place.moments.size} moments, this bundle's first tap "
                f"{self.present.place().moments.size}; keep edits beside the bundle they were made for"
            )
        self._kept, self._expires_at = kept, self.clock() + kept.expires_s

    def fitting(self, arrival: Arrival, x: Array, plain: Array) -> tuple[InForce, Array]:
        """Return what is to come into force for samples x, and its logits of them (N, C): a kept answer that still
        holds, or else the nearest prototype.

        `plain` are the base model's logits of x. PersonaError where nothing fits: the base model is safer then.
        """
        kept, self._kept = self._kept, None
        if kept is not None and arrival == "first":
            try:
                return self._resumed(kept, x)
            except PersonaError as error:
                self.stand.refuse(error)
        memory = self.present.memory()
        own = self.workshop.nearest(memory, x)
        far, change = self.guard.prototype_strains(own.code, memory.sketch, own.logits, plain)
        check_strain(far, f"of {own.name} lies farther from what the device's own map predicts")
        check_strain(change, f"of {own.name} changes more of the base model's answers")
        logger.info("%s; %s is nearest", _ARRIVALS[arrival], own.name)
        return own.in_force("prototype"), own.logits

    def _resumed(self, kept: KeptEdit, x: Array) -> tuple[InForce, Array]:
        if self._expires_at <= self.clock():
            raise DataError("the kept edit has expired; it is not used")
        if self.present.has_left(kept.place):
            raise DataError("the data has left the domain that the kept edit was asked for; it is not used")
        memory = self.present.memory()
        candidate = self.workshop.make(kept.prototype, kept.residual, memory, x)
        far = self.guard.code_strain(candidate.code, memory.sketch, bare=kept.residual is None, later=True)
        check_strain(far, "that was kept lies farther from what the device's own map predicts")
        logger.info("the first window is here; the kept %s fits it", candidate.name)
        return replace(candidate.in_force("answer"), place=kept.place, expires_at=self._expires_at), candidate.logits
