"""One user's device at work on items: it recommends at once, remembers what the user met, and asks for an edit."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING

import numpy as np

from persona.device.background import Background
from persona.device.guard import check_reply
from persona.device.in_force import name_of
from persona.device.met import Met
from persona.device.options import DEFAULTS, Options
from persona.device.policies import Schedule, Standard
from persona.device.ranking import Items
from persona.device.recommender import InForce, Ranked, Recommender
from persona.device.status import Status
from persona.edit import Array
from persona.errors import CloudError, EditError, PersonaError
from persona.wire import AdaptReply, AdaptRequest

if TYPE_CHECKING:  # it brings the network's libraries, which a device without a cloud does not carry
    from persona.device.cloud import Cloud

logger = logging.getLogger(__name__)

# The trial of an edit: the last events it must not be worse on, the items each is told from, and nats it may lose.
TRIAL_EVENTS = 32
TRIAL_ITEMS = 256
TRIAL_MARGIN = 0.05


class RankingRuntime:
    """Many threads may call every method. What goes wrong on the way to an edit leaves the one in force; see `status`.

    `every` events the cloud is asked in the background, 0 for never by itself. A request holds the last events that the
    bundle's adapter reads, items and ages. Of the options, the pace counts here, and the dice of its waits: after a
    failure the cloud is left alone for a while, except by `adapt`. An edit that has expired gives way to the base, and
    where `every` is not 0 the next event asks for another.
    """

    def __init__(
        self,
        recommender: Recommender,
        cloud: Cloud,
        every: int = 0,
        *,
        executor: Executor | None = None,
        clock: Callable[[], float] = time.monotonic,
        options: Options = DEFAULTS,
    ) -> None:
        self._recommender, self._cloud, self._every, self._clock = recommender, cloud, every, clock
        self._bundle = recommender.bundle
        self._met = Met(self._bundle.support[1])
        self._lock = threading.Lock()
        dice = SystemRandom() if options.rng is None else options.rng
        self._schedule = Schedule(Standard(max(every, 1)), options.pace, clock, dice)
        self._schedule.settled()  # a user has no domain to jump from, so the start is no reason to ask
        self._status = Status(recommender.in_force.name, self._bundle.bank.version, placement="cloud")
        self._background = Background(executor)

    def met(self, item: int, time_s: int) -> None:
        """Take an event: the user met an item at a time in whole seconds. DataError where either is none."""
        self._recommender.in_force.catalogue.numbers(np.asarray([item]), "an event's item")
        with self._lock:
            self._met.add(item, time_s)
            self._schedule.saw(1)
        self._drop_expired()
        if self._every:
            try:
                self._background.start_if(self._is_due, partial(self._ask, None))
            except CloudError as error:  # the executor takes no work: the event is remembered all the same
                self._fail(str(error))

    def recommend(self, k: int = 10) -> Ranked:
        """Return the best items now, without those ever met."""
        self._drop_expired()
        with self._lock:
            history, seen = self._met.history(), self._met.seen()
        return self._recommender.top_k(history, k, seen=seen)

    def scores(self) -> Array:
        """Return scores (items + 1,) of the whole catalogue now."""
        self._drop_expired()
        now = self._recommender.in_force
        with self._lock:
            history = self._met.history()
        scores: Array = now.catalogue.scores(self._recommender.queries([history], now))[0]
        return scores

    def adapt(self, now_s: int | None = None) -> Status:
        """Ask now and wait; `now_s` is the time that ages are counted from, the last event's by default."""
        with self._background.turn() as is_open:
            if is_open:
                self._ask(now_s)
            else:
                self._refuse("this runtime is closed, so it asks no more; make a new one")
        return self.status()

    def status(self) -> Status:
        """Return what is in force, and what became of requests."""
        self._drop_expired()
        with self._lock:
            now = self._recommender.in_force
            return replace(self._status, in_force=now.name, rung=now.rung)

    def close(self) -> None:
        """Let a request in flight end, and start none again."""
        self._background.close()

    def _is_due(self) -> bool:
        with self._lock:
            enough = len(self._met) >= self._bundle.support[0]
            return enough and self._schedule.due(len(self._met), self._recommender.in_force.expires_at)

    def _drop_expired(self) -> None:
        old = self._recommender.drop_expired(self._clock())
        if old is not None:
            with self._lock:
                self._schedule.gave_way()
                self._status = replace(self._status, guarded=f"{old.name} has expired, and the base stands in for it")

    def _ask(self, now_s: int | None) -> None:
        with self._lock:
            at_s = self._met.last_s() if now_s is None else now_s
            events, history = self._met.events(self._known, at_s), self._met.history()
        least = self._bundle.support[0]
        if len(events) < least:
            self._refuse(f"{len(events)} events are remembered; the adapter needs {least}")
            return
        try:
            start, reply = self._exchange(AdaptRequest(self._bundle.fingerprint, "samples", events, len(events)))
            candidate = self._candidate(reply, start + reply.expires_s if reply.expires_s else math.inf)
            self._try(candidate, history)
        except PersonaError as error:
            self._fail(str(error))
            return
        except Exception as error:  # a cloud is anybody's code, and no fault of it may reach a recommendation
            logger.exception("the cloud raised an error that is none of persona's")
            self._fail(f"the cloud raised {error!r}")
            return
        self._recommender.swap(candidate)
        with self._lock:
            self._schedule.settled()
            self._status = replace(self._status, reason="")

    def _exchange(self, request: AdaptRequest) -> tuple[float, AdaptReply]:
        """Return when the request was made, and its answer."""
        sent = len(request.encode())
        with self._lock:
            self._schedule.tried()
            self._status = replace(self._status, asks=self._status.asks + 1, bytes_up=self._status.bytes_up + sent)
        start = self._clock()
        reply = self._cloud.adapt(request, self._bundle.decoder.code_shape)
        latency_s = self._clock() - start
        received = len(reply.encode())
        with self._lock:
            replies, bytes_down = self._status.replies + 1, self._status.bytes_down + received
            self._status = replace(self._status, replies=replies, bytes_down=bytes_down, latency_s=latency_s)
        return start, reply

    def _candidate(self, reply: AdaptReply, expires_at: float) -> InForce:
        check_reply(reply, self._bundle)
        code = self._bundle.bank.compose(reply.prototype, reply.residual)
        edit = self._bundle.decoder.decode(code)
        candidate = self._recommender.under(edit, name_of(reply.prototype, reply.residual), "answer")
        return replace(candidate, expires_at=expires_at)

    def _try(self, candidate: InForce, history: Items) -> None:
        """Raise EditError where the base tells what the user last met from other items clearly better than the edit."""
        known = history[history <= self._known]
        base = replace(self._recommender.base, catalogue=candidate.catalogue)
        loss = self._surprise(candidate, known) - self._surprise(base, known)
        if not loss <= TRIAL_MARGIN:  # True for NaN
            raise EditError(
                f"{candidate.name} foretells the user's last events worse than the base does, by {loss:.2f} nats; it "
                "is not used"
            )

    def _surprise(self, under: InForce, known: Items) -> float:
        """Return the mean -log p of the last events among items spread over the catalogue, each after its history."""
        places = range(max(1, len(known) - TRIAL_EVENTS), len(known))
        if not places:
            return 0.0
        queries = self._recommender.queries([known[:place] for place in places], under)
        others = np.unique(np.linspace(1, self._known, min(self._known, TRIAL_ITEMS)).astype(np.int64))
        candidates = np.concatenate([known[list(places), None], np.tile(others, (len(places), 1))], axis=1)
        scores = under.catalogue.score(queries, candidates).astype(np.float64)
        scores[:, 1:][candidates[:, 1:] == candidates[:, :1]] = -np.inf  # the event itself counts once
        top = scores.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(scores - top).sum(axis=1)) + top[:, 0] - scores[:, 0]))

    @property
    def _known(self) -> int:
        return self._recommender.base.catalogue.n_known

    def _fail(self, reason: str) -> None:
        """A request had no answer that can be used: wait before the next."""
        with self._lock:
            self._schedule.failed()
        self._refuse(reason)

    def _refuse(self, reason: str) -> None:
        logger.warning("%s stays in force: %s", self._recommender.in_force.name, reason)
        with self._lock:
            self._status = replace(self._status, refused=self._status.refused + 1, reason=reason)
