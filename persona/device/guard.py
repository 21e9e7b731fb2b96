"""What stands between a device and a wrong edit: the check of a reply, the shadow trial, and the evidence.

Entropy and confidence cannot tell a wrong edit from a right one: a wrong edit is sure of itself. What can is how far an
answer lies from what the device's own map makes of the same sketch, and how many answers it changes against the
device's own prototype (`persona.tether`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from persona.bundle import Bundle
from persona.device.model import DeviceModel, Weights
from persona.edit import Array
from persona.errors import EditError, FingerprintMismatch
from persona.sketch import Sketch
from persona.wire import AdaptReply, same_bundle


@dataclass(frozen=True)
class Guard:
    """Holds codes and answers of one bundle against its tether. Without one it finds nothing strange: strain −1."""

    bundle: Bundle

    def code_strain(self, code: Array, sketch: Sketch, *, bare: bool, later: bool = False) -> float:
        """Return how strange a code (n, d) is for a sketch: see `Tether.strain`; above 1 it is to be refused.

        `bare` for a prototype without a residual; `later` where the code was made for other samples than these.
        """
        tether = self.bundle.tether
        if tether is None or not sketch.count:
            return -1.0
        own = self.bundle.bank.own_code(sketch.features(self.bundle.sketch))
        figure = ("next_" if later else "") + ("prototype" if bare else "code")
        return tether.strain(figure, tether.distance(code, own), self._slack(sketch.count))

    def share_strain(self, figure: str, share: float, count: int) -> float:
        """Return how strange it is that a share of `count` answers differs; `figure` is ``flips`` or ``change``."""
        tether = self.bundle.tether
        return -1.0 if tether is None or not count else tether.strain(figure, share, self._slack(count))

    def prototype_strains(self, code: Array, sketch: Sketch, logits: Array, plain: Array) -> tuple[float, float]:
        """Return how strange a prototype's code (n, d) is for a sketch, and its logits (N, C) beside the base's."""
        change = self.share_strain("change", differing(logits, plain), len(logits))
        return self.code_strain(code, sketch, bare=True), change

    def _slack(self, count: int) -> float:
        """Fewer samples than a window's say less: their noise is larger by the root of what is missing."""
        return math.sqrt(max(self.bundle.support[1] / count, 1.0))


def check_strain(strain: float, what: str) -> None:
    """Raise EditError where a strain is above 1; `what` says what was found strange, for a message."""
    if strain > 1:
        raise EditError(
            f"an answer {what} than 99 of 100 honest ones do (strain {strain:.2f}, 1 is the most); not used"
        )


def differing(one: Array, other: Array) -> float:
    """Return the share of samples whose answers differ between logits (N, C) and (N, C); 0 for no samples."""
    return float(np.mean(one.argmax(axis=1) != other.argmax(axis=1))) if len(one) else 0.0


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
