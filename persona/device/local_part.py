"""What a device makes of its own sketch: how much of a learned edit holds here, and what it adds by itself."""

from __future__ import annotations

import numpy as np

from persona.bundle import Bundle
from persona.edit import Array
from persona.errors import EditError
from persona.sketch import Sketch


class LocalPart:
    """The gate and the renormalisation of a bundle, each at rest where the bundle lacks it (method §3).

    An edit in force is ``strength · learned + local``: the gate never touches the local part.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._renorm, self._gate, self._spec = bundle.renorm, bundle.gate, bundle.sketch

    def strength(self, sketch: Sketch) -> float:
        """Return how much of the learned part holds for a sketch, in [0, 1]: 1 on familiar data or without a gate."""
        return 1.0 if self._gate is None else self._gate.weight(sketch.features(self._spec))

    def deltas(self, sketch: Sketch) -> dict[str, Array]:
        """Return {tensor name: delta (C,)} of a sketch, none without renormalisation or samples.

        A scale grows by `persona.renorm.LARGEST_FACTOR` at most; the bounds of learned edits do not hold here.
        EditError where a delta is not finite, as statistics of training near the largest float would have it.
        """
        if self._renorm is None:
            return {}
        with np.errstate(over="ignore", invalid="ignore"):  # the check below is what speaks
            found = self._renorm.deltas(self._spec, sketch)
        for name, delta in found.items():
            if not np.isfinite(delta).all():
                raise EditError(
                    f"the local part of {name!r} has entries that are not finite; the bundle's statistics of training "
                    "are out of range: export it anew"
                )
        return found
