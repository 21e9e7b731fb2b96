"""What a device makes of its own data: how much of a learned edit holds here, and what it settles into that."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from persona.bundle import Bundle
from persona.device.model import DeviceModel, Weights
from persona.device.present import Memory
from persona.edit import Array, Edit
from persona.errors import EditError
from persona.sketch import Sketch, SketchSpec


class LocalPart:
    """The gate and the renormalisation of a bundle, each at rest where the bundle lacks it (method §3).

    An edit in force is ``strength · learned`` with the statistics settled in that the device's samples have under it:
    the gate never touches those. Samples of several domains turn down the whole of it.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._renorm, self._gate, self._spec = bundle.renorm, bundle.gate, bundle.sketch
        self._taps = SketchSpec.unscaled(bundle.sketch.taps, 0)

    def strength(self, sketch: Sketch) -> float:
        """Return how much of the learned part holds for a sketch, in [0, 1]: 1 on familiar data or without a gate."""
        return 1.0 if self._gate is None else self._gate.weight(sketch.features(self._spec))

    def settle(self, model: DeviceModel, edit: Edit, weights: Weights, memory: Memory) -> Weights:
        """Return `weights`, those of the learned edit alone, with statistics of the samples remembered settled in.

        Where these are of several domains the whole is turned down, the statistics too: to nothing in the end.

        Every pass makes one more layer exact, so there are as many as layers are renormalised, and fewer where
        the outcome stands before; none without renormalisation or samples. A scale grows by
        `persona.renorm.LARGEST_FACTOR` at most; the bounds of learned edits do not hold here. EditError where a delta
        is not finite, as statistics of training near the largest float would have it.
        """
        found = self._settled(model, edit, weights, memory.samples)
        if memory.unity < 1:
            whole = edit.deltas if found is None else found
            found = {name: delta * np.float32(memory.unity) for name, delta in whole.items()}
        return weights if found is None else model.weights(edit, found)

    def _settled(self, model: DeviceModel, edit: Edit, weights: Weights, x: Array) -> dict[str, Array] | None:
        """Return deltas with the statistics of samples x (N, *input_shape) settled in; None where there is no need."""
        if self._renorm is None or not len(x):
            return None
        found: dict[str, Array] | None = None
        for _ in self._renorm.layers:
            logits, moments = model.run(x, weights)
            before, found = found, self.settled(Sketch.of(self._taps, moments, logits), edit.deltas)
            if before is not None and self._renorm.agree(before, found):
                break
            weights = model.weights(edit, found)
        return found

    def settled(self, sketch: Sketch, learned: Mapping[str, Array]) -> dict[str, Array]:
        """Return learned deltas with the statistics of one pass settled in; EditError as in `settle`."""
        if self._renorm is None:
            return dict(learned)
        with np.errstate(over="ignore", invalid="ignore"):  # the check below is what speaks
            found = self._renorm.settled(self._taps, sketch, learned)
        for name, delta in found.items():
            if not np.isfinite(delta).all():
                raise EditError(
                    f"the local part of {name!r} has entries that are not finite; the bundle's statistics of training "
                    "are out of range: export it anew"
                )
        return found
