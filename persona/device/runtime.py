"""The device at work: it answers at once with the edit in force, and follows its data in the background."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from random import SystemRandom
from typing import TYPE_CHECKING

from persona.bundle import Bundle
from persona.device.asking import Asking
from persona.device.background import Background
from persona.device.candidate import Workshop
from persona.device.following import Following
from persona.device.guard import Guard, shadow_trial
from persona.device.in_force import InForce, KeptEdit
from persona.device.jump_test import Arrival
from persona.device.keeper import Keeper
from persona.device.local_part import LocalPart
from persona.device.model import DeviceModel
from persona.device.options import DEFAULTS, Options
from persona.device.placements import placed
from persona.device.policies import Policy, Schedule, Standard
from persona.device.present import Present
from persona.device.prior_term import PriorTerm
from persona.device.sentry import Sentry
from persona.device.stand import Stand
from persona.device.status import Status
from persona.device.store import Store
from persona.edit import Array, Edit
from persona.errors import BundleError, CloudError, DataError, PersonaError

if TYPE_CHECKING:  # it brings the network's libraries, which a device without a cloud does not carry
    from persona.device.cloud import Cloud

logger = logging.getLogger(__name__)


class Runtime:
    """One device: a model, its recent data, perhaps a cloud. Many threads may call every method.

    It starts with the base model. Without a cloud it lives on its bundle's prototypes: from the first window, a jump or
    `adapt` on; a bundle with an encoder asks that as it would a cloud. A cloud that is absent, slow or wrong never
    shows in `predict`: what is in force stays, or the guard puts something safer in its place; see `status`.
    """

    def __init__(
        self,
        bundle: Bundle,
        cloud: Cloud | None = None,
        policy: Policy | None = None,
        *,
        executor: Executor | None = None,
        clock: Callable[[], float] = time.monotonic,
        options: Options = DEFAULTS,
    ) -> None:
        """BundleError where the bundle ranks items, or its graph is not what it says; DataError for a placement that
        this bundle or this cloud does not allow.

        `policy` says when to ask (`Standard` if not given); `executor` runs the requests and writes to the store
        (threads of its own if not given; a given one is not shut down). An answer that the options' store has kept is
        offered to the first window, as by `resume`.
        """
        if bundle.ranking is not None:
            raise BundleError("this bundle ranks items; a `persona.device.Recommender` in a `RankingRuntime` runs it")
        place, whole = placed(bundle, cloud, options.placement), bundle
        if not options.guard:
            bundle = replace(bundle, tether=None)
        self._bundle, self._clock = bundle, clock
        self._model = DeviceModel(bundle, options.threads, options.runs_on)
        self._local = LocalPart(bundle)
        self._workshop, self._guard = Workshop(bundle, self._model, self._local, clock), Guard(bundle)
        self._present = Present(bundle, options.sketch_share, place.context)
        self._prior = PriorTerm(bundle, options.prior)
        self._background = Background(executor)
        self._keeper = Keeper(options.store, whole, executor, clock)
        dice = SystemRandom() if options.rng is None else options.rng
        schedule = Schedule(policy or Standard(), options.pace, clock, dice)
        base = InForce("base", self._model.weights(None), "base")
        status = Status("base", bundle.bank.version, placement=place.placement)
        self._stand = Stand(base, schedule, status, self._keeper)
        parts = (self._workshop, self._guard, self._present, self._stand)
        self._sentry, self._following = Sentry(*parts), Following(*parts, clock)
        self._asking = None if place.cloud is None else Asking(*parts, place.cloud, place.travels, place.context)
        self._take_up(options.store)

    def predict(self, x: Array) -> Array:
        """Return logits (N, C) of samples x (N, *input_shape) float32, under the edit in force, plus the prior term.

        DataError where x is something else. Where x completes a device's first window, or one of another domain than
        the last, the nearest prototype comes into force and answers. Never raises, nor waits, because of the cloud.
        """
        now, since = self._stand.in_force, self._prior.since
        logits, moments = self._model.run(x, now.weights)
        arrival = self._present.watch(x, moments)
        with self._stand.lock:
            self._stand.schedule.saw(len(x))
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
        logits, moments = self._model.run(x, self._stand.base.weights)
        if self._present.restart(x, moments, logits):
            self._prior.restart()

    def adapt(self) -> Status:
        """Ask now, wait, put the answer in force, and return the status: no `reason` if that worked.

        With nobody to ask, put the nearest prototype in force. A request in flight is waited for. Never raises because
        of the cloud.
        """
        with self._background.turn() as is_open:
            if not is_open:
                self._stand.fail(CloudError("this runtime is closed, so it asks no more; make a new one"))
            elif self._asking is None:
                self._pick_prototype()
            else:
                self._asking.ask()
        return self.status()

    def use(self, edit: Edit | None) -> None:
        """Put an edit in force by hand, or the base model for None; a request in flight then changes nothing.

        It holds as it is: the device adds nothing of its own, turns nothing down, and its guard looks away.
        EditError where the edit does not fit the model or gives logits that are not finite on the last batch. A jump,
        or the answer to a later request, replaces it; the first window does not.
        """
        base = self._stand.base
        weights = base.weights if edit is None else self._model.weights(edit)
        if edit is not None and len(self._present.last_x):
            shadow_trial(self._model, weights, self._present.last_x)
        with self._stand.lock:
            self._stand.by_hand += 1
            self._stand.schedule.settled()
            self._stand.put(InForce("base" if edit is None else "by hand", weights, "by hand"))

    @property
    def model(self) -> DeviceModel:
        """The model that predictions run on, to be run under other weights beside them."""
        return self._model

    def keep(self) -> KeptEdit | None:
        """Return the answer in force, to be offered to the next process; None where something else is in force."""
        return self._following.keep()

    def resume(self, kept: KeptEdit) -> None:
        """Offer an answer that an earlier process had in force, to be tried with the first window, not before.

        It comes into force there instead of the nearest prototype if it has not expired, the data is still where it
        was asked for, and, where the bundle has a tether, its code lies near what the device's own map makes of that
        window. WireError, FingerprintMismatch or DataError where it is not of this bundle.
        """
        self._following.resume(kept)

    def status(self) -> Status:
        """Return what is in force, what became of the requests so far, and what the guard did."""
        return self._stand.status

    def close(self) -> None:
        """Ask no more, and wait for a request in flight and for the disk. Predictions still work."""
        self._background.close()
        self._keeper.close()

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take_up(self, store: Store | None) -> None:
        """Offer what an earlier process kept to the first window; what this bundle does not fit is left out."""
        kept = None if store is None else store.edit(self._bundle)
        if kept is None:
            return
        try:
            self.resume(kept)
        except PersonaError as error:
            logger.warning("the answer that was kept is left out: %s", error)

    def _follow(self, arrival: Arrival, x: Array, now: InForce, logits: Array, moments: Array) -> Array:
        """Put in force what fits a window of a domain that is new: an answer that was kept, or the nearest prototype.

        Return its logits of x.
        """
        stand = self._stand
        plain, moments = self._under_base(x, now, logits, moments)
        logits = plain
        self._present.begin_domain(x, moments, plain)
        with stand.lock:
            stand.schedule.jumped()
            stand.ladder.new_domain()
            stand.count(jumps=arrival == "jump")
        try:
            new, logits = self._following.fitting(arrival, x, plain)
        except PersonaError as error:  # the edit in force is of another domain: the base model is the safer one
            stand.refuse(error)
            new = stand.base
        with stand.lock:
            if self._is_followed(arrival):  # still: an edit by hand or an answer may have come meanwhile
                stand.put(new)
        return logits

    def _is_followed(self, arrival: Arrival) -> bool:
        """Return whether to follow: a jump always, a first window if nothing came into force yet. The lock is held."""
        stand = self._stand
        return arrival == "jump" or (arrival == "first" and stand.in_force is stand.base and not stand.by_hand)

    def _remember(self, x: Array, now: InForce, logits: Array, moments: Array) -> None:
        if now.weights is not self._stand.base.weights:
            chosen = self._present.share(len(x))
            x, logits, moments = x[chosen], logits[chosen], moments[chosen]
        if len(x):
            plain, moments = self._under_base(x, now, logits, moments)
            self._present.remember(x, moments, plain)
            self._sentry.saw(now, logits, plain)

    def _under_base(self, x: Array, now: InForce, logits: Array, moments: Array) -> tuple[Array, Array]:
        """Return logits and moments of x under base weights, given those under the edit in force."""
        base = self._stand.base.weights
        return (logits, moments) if now.weights is base else self._model.run(x, base)

    def _familiarity(self) -> float:
        return self._local.strength(self._present.sketch())

    def _pick_prototype(self) -> None:
        try:
            if not len(self._present):
                raise DataError("no samples are remembered, so no prototype is nearest; predict or observe some first")
            candidate = self._workshop.nearest(self._present.memory(), self._present.last_x)
        except PersonaError as error:
            self._stand.refuse(error)
            return
        start = self._clock()
        with self._stand.lock:
            self._stand.put(candidate.in_force("prototype"))
            self._stand.note(reason="", apply_time=candidate.apply_time(start, self._clock()))

    def _ask_when_due(self) -> None:
        """Start a request in the background, unless one is in flight or none is due."""
        if self._asking is None:
            return
        try:
            self._background.start_if(self._is_due, self._asking.ask)
        except Exception as error:  # noqa: BLE001 : a policy is anybody's code, and its faults stay out of predictions
            self._stand.fail(error)

    def _is_due(self) -> bool:
        count, stand = len(self._present), self._stand
        with stand.lock:
            return count >= self._bundle.support[0] and stand.schedule.due(count, stand.in_force.expires_at)
