"""The device at work: it answers at once with the edit in force, and follows its data in the background."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from persona.bundle import Bundle
from persona.device.background import Background
from persona.device.candidate import Candidate, Workshop
from persona.device.graph import RunsOn
from persona.device.guard import Arrival, check_reply, shadow_trial
from persona.device.keeper import Keeper, resumed
from persona.device.local_part import LocalPart
from persona.device.model import DeviceModel, Weights
from persona.device.policies import Backoff, Policy, Schedule, Standard
from persona.device.present import Present
from persona.device.prior_term import PriorTerm
from persona.device.status import Status
from persona.device.store import Store
from persona.edit import Array, Edit
from persona.errors import CloudError, DataError, PersonaError
from persona.sketch import Sketch
from persona.wire import AdaptReply, AdaptRequest

if TYPE_CHECKING:  # it brings the network's libraries, which a device without a cloud does not carry
    from persona.device.cloud import Cloud

logger = logging.getLogger(__name__)

_ARRIVALS = {"first": "the first window is here", "jump": "the data jumped to another domain"}


@dataclass(frozen=True)
class Options:
    """Settings that seldom change.

    `sketch_share` of the samples, in (0, 1], pass a second time under base weights while an edit is in force, so that
    the sketch means the same whichever edit that is; `backoff` after failed requests; `threads` of one run. `prior`
    False leaves out the prior term of a bundle that has one. `runs_on` onnxruntime, numpy, or whichever is there.
    `store` keeps the bundle and what is in force on disk; it is not closed here.
    """

    sketch_share: float = 1.0
    backoff: Backoff = field(default_factory=Backoff)
    threads: int = 1
    prior: bool = True
    runs_on: RunsOn = "auto"
    store: Store | None = None

    def __post_init__(self) -> None:
        """DataError where the share is none."""
        if not 0 < self.sketch_share <= 1:
            raise DataError(f"sketch_share is {self.sketch_share}; wanted a share above 0, 1 at most")


@dataclass(frozen=True)
class _InForce:
    """The weights that predictions use: replaced whole, never changed. It expires at a time of the clock."""

    name: str
    weights: Weights
    expires_at: float = math.inf


@dataclass(frozen=True)
class _Question:
    """A request, and the circumstances for which its answer holds; they stay on the device."""

    request: AdaptRequest
    place: Sketch
    by_hand: int


class Runtime:
    """One device: a model, its recent data, perhaps a cloud. Many threads may call every method.

    It starts with the base model. Without a cloud it lives on its bundle's prototypes: from the first window, a jump or
    `adapt` on. A cloud that is absent, slow or wrong never shows in `predict`: what is in force stays; see `status`.
    """

    def __init__(
        self,
        bundle: Bundle,
        cloud: Cloud | None = None,
        policy: Policy | None = None,
        *,
        executor: Executor | None = None,
        clock: Callable[[], float] = time.monotonic,
        options: Options = Options(),
    ) -> None:
        """BundleError where the bundle's graph is not what the bundle says.

        `policy` says when to ask (`Standard` if not given); `executor` runs the requests and writes to the store
        (threads of its own if not given; a given one is not shut down). Where the options name a store, what was in
        force comes into force again here.
        """
        self._bundle = bundle
        self._cloud = cloud
        self._clock = clock
        self._model = DeviceModel(bundle, options.threads, options.runs_on)
        self._local = LocalPart(bundle)
        self._workshop = Workshop(bundle, self._model, self._local, clock)
        self._present = Present(bundle, options.sketch_share)
        self._prior = PriorTerm(bundle, options.prior)
        self._background = Background(executor)
        self._base = self._in_force = _InForce("base", self._model.weights(None))
        self._lock = threading.Lock()  # of the four below and of replacing `_in_force`; short, never during a run
        self._schedule = Schedule(policy or Standard(), options.backoff, clock)
        self._status = Status("base", bundle.bank.version)
        self._by_hand = 0  # how often `use` was called
        self._keeper = Keeper(options.store, bundle, executor, clock)
        self._resume(options.store)

    def predict(self, x: Array) -> Array:
        """Return logits (N, C) of samples x (N, *input_shape) float32, under the edit in force, plus the prior term.

        DataError where x is something else. Where x completes a device's first window, or one of another domain than
        the last, the nearest prototype comes into force and answers. Never raises, nor waits, because of the cloud.
        """
        now, since = self._in_force, self._prior.since
        logits, moments = self._model.run(x, now.weights)
        arrival = self._present.watch(x, moments)
        with self._lock:
            self._schedule.saw(len(x))
            follows = self._is_followed(arrival)
        if arrival == "jump":
            since = self._prior.restart()
        if follows:
            logits = self._follow(arrival, x, now, logits, moments)
        else:
            self._remember(x, now, logits, moments)
        logits = self._prior.biased(logits, since, self._familiarity)
        self._ask_when_due()
        return logits

    def observe(self, x: Array) -> None:
        """Take samples x (N, *input_shape) as all that is known of the present, without predicting: their statistics
        replace what was remembered, and they are the window that the next one is compared with.

        To adapt to a window before predicting it: ``observe(x)``, ``adapt()``, ``predict(x)``. DataError as `predict`.
        """
        logits, moments = self._model.run(x, self._base.weights)
        if self._present.restart(x, moments, logits):
            self._prior.restart()

    def adapt(self) -> Status:
        """Ask the cloud now, wait, put its answer in force, and return the status: no `reason` if that worked.

        Without a cloud, put the nearest prototype in force. A request in flight is waited for. Never raises because of
        the cloud.
        """
        with self._background.turn() as is_open:
            if not is_open:
                self._fail(CloudError("this runtime is closed, so it asks no more; make a new one"))
            elif self._cloud is None:
                self._pick_prototype()
            else:
                self._ask(self._cloud)
        return self.status()

    def use(self, edit: Edit | None) -> None:
        """Put an edit in force by hand, or the base model for None; a request in flight then changes nothing.

        It holds as it is: the device adds nothing of its own, and turns nothing down.
        EditError where the edit does not fit the model or gives logits that are not finite on the last batch. A jump,
        or the answer to a later request, replaces it; the first window does not.
        """
        weights = self._base.weights if edit is None else self._model.weights(edit)
        if edit is not None and len(self._present.last_x):
            shadow_trial(self._model, weights, self._present.last_x)
        with self._lock:
            self._by_hand += 1
            self._schedule.settled()
            self._put(self._base if edit is None else _InForce("by hand", weights))

    def status(self) -> Status:
        """Return what is in force, and what became of the requests so far."""
        with self._lock:
            return replace(self._status, storage=self._keeper.problem)

    def close(self) -> None:
        """Ask no more, and wait for a request in flight and for the disk. Predictions still work."""
        self._background.close()
        self._keeper.close()

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _resume(self, store: Store | None) -> None:
        """Put in force what was when the state was last kept, for as long as the data is where it was then."""
        found = resumed(store, self._bundle, self._model)
        if found is not None:
            kept, weights = found
            self._present.resume(kept.place)
            self._in_force = _InForce(kept.name, weights, self._clock() + kept.lasts_s)
            self._status = replace(self._status, in_force=kept.name)

    def _follow(self, arrival: Arrival, x: Array, now: _InForce, logits: Array, moments: Array) -> Array:
        """Put the prototype in force that is nearest to a window of a domain that is new; return its logits of x."""
        logits, moments = self._under_base(x, now, logits, moments)
        self._present.begin_domain(x, moments, logits)
        with self._lock:
            self._schedule.jumped()
            self._status = replace(self._status, jumps=self._status.jumps + (arrival == "jump"))
        try:
            candidate = self._nearest(x)
            logger.info("%s; %s is nearest", _ARRIVALS[arrival], candidate.name)
            new, logits = _InForce(candidate.name, candidate.weights), candidate.logits
        except PersonaError as error:  # the edit in force is of another domain: the base model is the safer one
            self._refuse(error)
            new = self._base
        with self._lock:
            if self._is_followed(arrival):  # still: an edit by hand or an answer may have come meanwhile
                self._put(new)
        return logits

    def _is_followed(self, arrival: Arrival) -> bool:
        """Return whether to follow: a jump always, a first window if nothing came into force yet. The lock is held."""
        return arrival == "jump" or (arrival == "first" and self._in_force is self._base and not self._by_hand)

    def _remember(self, x: Array, now: _InForce, logits: Array, moments: Array) -> None:
        if now.weights is not self._base.weights:
            x = x[self._present.share(len(x))]
        if len(x):
            logits, moments = self._under_base(x, now, logits, moments)
            self._present.remember(x, moments, logits)

    def _under_base(self, x: Array, now: _InForce, logits: Array, moments: Array) -> tuple[Array, Array]:
        """Return logits and moments of x under base weights, given those under the edit in force."""
        if now.weights is self._base.weights:
            return logits, moments
        return self._model.run(x, self._base.weights)

    def _familiarity(self) -> float:
        return self._local.strength(self._present.sketch())

    def _nearest(self, x: Array) -> Candidate:
        memory = self._present.memory()
        nearest = self._bundle.bank.nearest(memory.sketch.features(self._bundle.sketch))
        return self._workshop.make(nearest, None, memory, x)

    def _pick_prototype(self) -> None:
        try:
            if not len(self._present):
                raise DataError("no samples are remembered, so no prototype is nearest; predict or observe some first")
            candidate = self._nearest(self._present.last_x)
        except PersonaError as error:
            self._refuse(error)
            return
        start = self._clock()
        with self._lock:
            self._put(_InForce(candidate.name, candidate.weights))
            self._status = replace(self._status, reason="", apply_time=candidate.apply_time(start, self._clock()))

    def _ask_when_due(self) -> None:
        """Start a request in the background, unless one is in flight or none is due."""
        if self._cloud is None:
            return
        try:
            self._background.start_if(self._is_due, partial(self._ask, self._cloud))
        except Exception as error:  # noqa: BLE001 : a policy is anybody's code, and its faults stay out of predictions
            self._fail(error)

    def _is_due(self) -> bool:
        count = len(self._present)
        with self._lock:
            return count >= self._bundle.support[0] and self._schedule.due(count, self._in_force.expires_at)

    def _ask(self, cloud: Cloud) -> None:
        """Ask, and put the answer in force; whatever goes wrong leaves the edit in force and becomes the reason."""
        count, least = len(self._present), self._bundle.support[0]
        if count < least:
            self._refuse(f"{count} samples are remembered; the adapter needs {least}: predict or observe more")
            return
        with self._lock:
            self._schedule.tried()
            by_hand = self._by_hand
        request, memory, place = self._present.question()
        try:
            reply = self._exchange(cloud, request)
            check_reply(reply, self._bundle)
            candidate = self._workshop.make(reply.prototype, reply.residual, memory, self._present.last_x)
        except PersonaError as error:
            self._fail(error)
            return
        except Exception as error:  # a cloud is anybody's code, and no fault of it may reach a prediction
            logger.exception("the cloud raised an error that is none of persona's")
            self._fail(f"the cloud raised {error!r}")
            return
        self._swap(_Question(request, place, by_hand), reply, candidate)

    def _exchange(self, cloud: Cloud, request: AdaptRequest) -> AdaptReply:
        sent = len(request.encode())
        with self._lock:
            self._status = replace(self._status, asks=self._status.asks + 1, bytes_up=self._status.bytes_up + sent)
        start = self._clock()
        reply = cloud.adapt(request, self._bundle.decoder.code_shape)
        latency_s = self._clock() - start
        received = len(reply.encode())
        with self._lock:
            replies, bytes_down = self._status.replies + 1, self._status.bytes_down + received
            self._status = replace(self._status, replies=replies, bytes_down=bytes_down, latency_s=latency_s)
        return reply

    def _swap(self, question: _Question, reply: AdaptReply, candidate: Candidate) -> None:
        start = self._clock()
        late = ""
        with self._lock:
            if self._by_hand != question.by_hand:
                late = "an answer came after an edit was put in force by hand; it is not used"
            elif self._present.has_left(question.place):
                late = "an answer came late: the data has left the domain that it was asked for; it is not used"
                self._schedule.came_late()
            else:
                expires_at = start + reply.expires_s if reply.expires_s else math.inf
                self._put(_InForce(candidate.name, candidate.weights, expires_at))
                self._schedule.settled()
                self._status = replace(self._status, reason="", apply_time=candidate.apply_time(start, self._clock()))
        if late:
            self._refuse(late)
        else:
            logger.debug("%s came into force", candidate.name)

    def _put(self, in_force: _InForce) -> None:
        """Swap the one reference that predictions read. The lock is held."""
        self._in_force = in_force
        self._status = replace(self._status, in_force=in_force.name)
        weights = None if in_force is self._base else in_force.weights
        self._keeper.keep(in_force.name, weights, self._present.place(), in_force.expires_at)

    def _fail(self, reason: object) -> None:
        with self._lock:
            self._schedule.failed()
        self._refuse(reason)

    def _refuse(self, reason: object) -> None:
        """Note why nothing changed, and count it."""
        said = str(reason) or repr(reason)
        logger.warning("%s stays in force: %s", self._in_force.name, said)
        with self._lock:
            self._status = replace(self._status, refused=self._status.refused + 1, reason=said)
