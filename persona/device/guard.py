"""What stands between a device and a wrong edit: the jump test, the check of a reply, the shadow trial."""

from __future__ import annotations

from typing import Literal

import numpy as np

from persona.bundle import Bundle
from persona.device.model import DeviceModel, Weights
from persona.edit import Array
from persona.errors import EditError, FingerprintMismatch
from persona.jump import JumpSpec
from persona.sketch import Sketch, SketchSpec
from persona.wire import AdaptReply, same_bundle

# What new samples are: no news, the end of the very first window, or of another domain.
Arrival = Literal["within", "first", "jump"]


class JumpTest:
    """Compares the first tap's statistics of consecutive windows (method §7). Not for use by several threads at once.

    The first tap lies before every edited layer: its moments mean the same whichever edit is in force.
    """

    def __init__(self, sketch: SketchSpec, jump: JumpSpec) -> None:
        self._spec = SketchSpec.unscaled(sketch.taps[:1], 0)
        self._jump = jump
        self._open = self._closed = Sketch.empty(self._spec)

    @property
    def open_samples(self) -> int:
        """Samples in the window under way: 0 just after one has closed."""
        return self._open.count

    def watch(self, moments: Array) -> Arrival:
        """Take moments (N, M) of new samples; return whether a window closed that is the first, or of another domain.

        Small batches gather until they fill a window. A batch of a window's size or more is a window of its own,
        and what had gathered before it is dropped.
        """
        new = self._first_tap(moments)
        whole = new.count >= self._jump.window
        self._open = new if whole else self._open.merge(new)
        if self._open.count < self._jump.window:
            return "within"
        before, self._closed = self._closed, self._open
        self._open = Sketch.empty(self._spec)
        if not before.count:
            return "first"
        return "jump" if self._jump.jumped(self._spec, before, self._closed) else "within"

    def restart(self, moments: Array) -> bool:
        """Take moments (N, M) as the last window; return whether it is of another domain than the one before."""
        before, self._closed = self._closed, self._first_tap(moments)
        self._open = Sketch.empty(self._spec)
        return self._jump.jumped(self._spec, before, self._closed)

    def resume(self, place: Sketch) -> None:
        """Take a place as the last window, so that the first one to come is compared with it."""
        self._closed = place

    def place(self) -> Sketch:
        """Return the first-tap sketch of where the data is: the last whole window, or the first one under way."""
        return self._closed if self._closed.count else self._open

    def has_left(self, place: Sketch) -> bool:
        """Return whether the data is of another domain than it was at a place."""
        here = self.place()
        return here is not place and self._jump.jumped(self._spec, place, here)

    def _first_tap(self, moments: Array) -> Sketch:
        rows = moments[:, : self._spec.n_moments]
        return Sketch.of(self._spec, rows, rows[:, :0])


def check_reply(reply: AdaptReply, bundle: Bundle) -> None:
    """Raise FingerprintMismatch where a reply is for another bundle or for another version of its bank."""
    same_bundle(reply, bundle.fingerprint)
    if reply.bank_version != bundle.bank.version:
        raise FingerprintMismatch(
            f"a reply is for version {reply.bank_version} of the bank, this device has version {bundle.bank.version}; "
            "fetch the bundle that the service offers"
        )


def shadow_trial(model: DeviceModel, weights: Weights, x: Array) -> Array:
    """Return the logits (N, C) of x under weights that are not in force yet.

    EditError where a logit of a sample that is finite itself is not finite.
    """
    logits, _ = model.run(x, weights)
    sound = np.isfinite(x).reshape(len(x), -1).all(axis=1)
    if not np.isfinite(logits[sound]).all():
        raise EditError(f"an edit gives logits that are not finite on the last {len(x)} samples; discard it")
    return logits
