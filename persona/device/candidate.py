"""From a code to weights that may come into force: decoded, checked, tried in shadow, and timed part by part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from persona.bundle import Bundle
from persona.device.guard import shadow_trial
from persona.device.in_force import InForce, Rung, name_of
from persona.device.local_part import LocalPart
from persona.device.model import DeviceModel, Weights
from persona.device.present import Memory
from persona.device.status import ApplyTime
from persona.edit import Array, Edit
from persona.sketch import Sketch


@dataclass(frozen=True)
class Candidate:
    """Weights of a code (n, d), which is a prototype's and perhaps a residual, the logits (N, C) that they gave in the
    trial, and times of the clock between the parts.
    """

    prototype: int
    residual: Array | None
    code: Array
    weights: Weights
    logits: Array
    times_s: tuple[float, float, float, float]

    @property
    def name(self) -> str:
        """What a status calls it."""
        return name_of(self.prototype, self.residual)

    def in_force(self, rung: Rung) -> InForce:
        """Return it as what predictions run under, on a rung of the ladder."""
        return InForce(self.name, self.weights, rung, self.code, self.prototype, self.residual)

    def apply_time(self, swap_start_s: float, swap_end_s: float) -> ApplyTime:
        """Return how long each part took, with a swap between two times of the same clock."""
        start, decoded, checked, tried = self.times_s
        parts_s = (decoded - start, checked - decoded, tried - checked, swap_end_s - swap_start_s)
        return ApplyTime(*(1e6 * part_s for part_s in parts_s))


@dataclass(frozen=True)
class Workshop:
    """Makes candidates for one device. `local` is what it does by itself; `clock` times the parts."""

    bundle: Bundle
    model: DeviceModel
    local: LocalPart
    clock: Callable[[], float]

    def make(self, prototype: int, residual: Array | None, memory: Memory, x: Array) -> Candidate:
        """Return the candidate of a prototype, and perhaps a residual code (n, d), tried on samples x.

        The memory is what the code was made from: its sketch says how much of the code's edit holds, and the statistics
        that its samples have under that much are settled in. The bounds of the edit are checked before that. WireError
        where the bank has no such prototype or the code does not fit; EditError where the edit does not fit the model
        or fails its trial.
        """
        start = self.clock()
        with np.errstate(over="ignore", invalid="ignore"):  # a code beyond all bounds is for the check to refuse
            code = self.bundle.bank.compose(prototype, residual)
            edit = self.bundle.decoder.decode(code)
        edit = self._held_back(edit, memory.sketch)
        decoded = self.clock()
        weights = self.model.weights(edit)
        checked = self.clock()
        weights = self.local.settle(self.model, edit, weights, memory)
        logits = shadow_trial(self.model, weights, x)
        return Candidate(prototype, residual, code, weights, logits, (start, decoded, checked, self.clock()))

    def nearest(self, memory: Memory, x: Array) -> Candidate:
        """Return the candidate of the prototype that the device's own map picks for a memory; errors as in `make`."""
        return self.make(self.bundle.bank.nearest(memory.sketch.features(self.bundle.sketch)), None, memory, x)

    def _held_back(self, edit: Edit, sketch: Sketch) -> Edit:
        strength = self.local.strength(sketch)
        return edit if strength == 1.0 else edit.scale(strength)
