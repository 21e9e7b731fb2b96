"""One request, from the question to its answer in force, or to the reason why not."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from persona.device.candidate import Candidate, Workshop
from persona.device.guard import Guard, check_reply, check_strain, differing
from persona.device.present import Memory, Present
from persona.device.stand import Stand
from persona.errors import EditError, PersonaError
from persona.sketch import Sketch
from persona.wire import AdaptReply, AdaptRequest

if TYPE_CHECKING:  # it brings the network's libraries, which a device without a cloud does not carry
    from persona.device.cloud import Cloud

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Question:
    """A request, what it was made of, and the circumstances for which its answer holds; they stay on the device."""

    request: AdaptRequest
    memory: Memory
    place: Sketch
    by_hand: int


@dataclass(frozen=True)
class Asking:
    """Asks whoever answers one device. Not for several threads at once.

    `travels` False where nothing leaves the device, so that no bytes count; `context` what a request brings.
    """

    workshop: Workshop
    guard: Guard
    present: Present
    stand: Stand
    cloud: Cloud
    travels: bool
    context: str

    def ask(self) -> None:
        """Ask, and put the answer in force; whatever goes wrong leaves the edit in force and becomes the reason."""
        count, least = len(self.present), self.workshop.bundle.support[0]
        if count < least:
            self.stand.refuse(f"{count} samples are remembered; the adapter needs {least}: predict or observe more")
            return
        with self.stand.lock:
            self.stand.schedule.tried()
            by_hand = self.stand.by_hand
        question = _Question(*self.present.question(self.context), by_hand)
        try:
            reply = self._exchange(question.request)
            if self._came_late(question):
                return
            candidate = self._tried(reply, question.memory)
        except PersonaError as error:
            self.stand.fail(error)
            return
        except Exception as error:  # a cloud is anybody's code, and no fault of it may reach a prediction
            logger.exception("the cloud raised an error that is none of persona's")
            self.stand.fail(f"the cloud raised {error!r}")
            return
        self._swap(question, reply, candidate)

    def _tried(self, reply: AdaptReply, memory: Memory) -> Candidate:
        """Return what a reply makes, checked and tried; a PersonaError says what is wrong with it.

        Its code must lie near what the device's own map makes of the same sketch, it may not change many more answers
        against the device's own prototype than honest ones do, and its sender must not have strained either often.
        """
        check_reply(reply, self.workshop.bundle)
        x = self.present.last_x
        candidate = self.workshop.make(reply.prototype, reply.residual, memory, x)
        if self.workshop.bundle.tether is None:
            return candidate
        far = self.guard.code_strain(candidate.code, memory.sketch, bare=reply.residual is None)
        own = self.workshop.nearest(memory, x)
        flips = self.guard.share_strain("flips", differing(candidate.logits, own.logits), len(x))
        with self.stand.lock:
            distrusted = self.stand.trust.add(max(far, flips))
        logger.debug("an answer was tried: far=%.2f flips=%.2f cloud_strain=%.2f", far, flips, self.stand.trust.total)
        check_strain(far, "lies farther from what the device's own map predicts")
        check_strain(flips, "changes more of the device's own answers")
        if distrusted:
            raise EditError(
                f"{candidate.name} is not used: the cloud's answers have been strange too often "
                f"(strain {self.stand.trust.total:.2f}); it is trusted again after as many usual ones"
            )
        return candidate

    def _exchange(self, request: AdaptRequest) -> AdaptReply:
        shape = self.workshop.bundle.decoder.code_shape
        sent = len(request.encode()) if self.travels else 0
        with self.stand.lock:
            self.stand.count(asks=1, bytes_up=sent)
        start = self.workshop.clock()
        reply = self.cloud.adapt(request, shape)
        latency_s = self.workshop.clock() - start
        with self.stand.lock:
            self.stand.count(replies=1, bytes_down=len(reply.encode()) if self.travels else 0)
            self.stand.note(latency_s=latency_s)
        return reply

    def _swap(self, question: _Question, reply: AdaptReply, candidate: Candidate) -> None:
        bare = reply.residual is None
        misfit = self.guard.code_strain(candidate.code, self.present.sketch(), bare=bare, later=True)
        start = self.workshop.clock()
        with self.stand.lock:
            late = self._lateness(question, misfit)
            if not late:
                expires_at = start + reply.expires_s if reply.expires_s else math.inf
                self.stand.put(replace(candidate.in_force("answer"), place=question.place, expires_at=expires_at))
                self.stand.schedule.settled()
                self.present.answered(question.place, question.memory.sketch)
                self.stand.note(reason="", apply_time=candidate.apply_time(start, self.workshop.clock()))
        if late:
            self.stand.refuse(late)
        else:
            logger.debug("%s came into force", candidate.name)

    def _came_late(self, question: _Question) -> bool:
        """Return whether an answer is late already, and say so: then it is no fault of its sender what it would do."""
        with self.stand.lock:
            late = self._lateness(question)
        if late:
            self.stand.refuse(late)
        return bool(late)

    def _lateness(self, question: _Question, misfit: float = -1.0) -> str:
        """Return why an answer holds no more, empty where it does. The lock is held."""
        if self.stand.by_hand != question.by_hand:
            return "an answer came after an edit was put in force by hand; it is not used"
        if misfit <= 1 and not self.present.has_left(question.place):
            return ""
        self.stand.schedule.came_late()
        return "an answer came late: the data has left the domain that it was asked for; it is not used"
