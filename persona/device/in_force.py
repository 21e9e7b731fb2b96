"""What predictions run under: one set of weights, where it came from, and what it was made for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from persona.device.model import Weights
from persona.edit import Array
from persona.sketch import Sketch

# From the bottom of the ladder to its top, and what stands beside it.
Rung = Literal["base", "default", "prototype", "answer", "by hand"]


def name_of(prototype: int, residual: Array | None) -> str:
    """Return what a status calls a prototype, or one with a residual (n, d)."""
    return f"prototype {prototype}" + ("" if residual is None else " + residual")


@dataclass(frozen=True)
class InForce:
    """Replaced whole, never changed. It expires at a time of the clock.

    `code` (n, d) that it was decoded from, None where there is none; `prototype` and `residual` that make it up;
    `place` the first-tap sketch of where the data was that it was asked for.
    """

    name: str
    weights: Weights
    rung: Rung
    code: Array | None = None
    prototype: int = 0
    residual: Array | None = None
    place: Sketch | None = None
    expires_at: float = math.inf

    def kept(self, bank_version: int, now_s: float) -> KeptEdit | None:
        """Return it as it outlives its process, at a time of the clock; None where it is no answer."""
        if self.rung != "answer" or self.place is None:
            return None
        return KeptEdit(self.prototype, self.residual, self.place, bank_version, max(self.expires_at - now_s, 0.0))


@dataclass(frozen=True)
class KeptEdit:
    """An answer as it outlives its process: its prototype, perhaps a residual (n, d), the first-tap sketch of where it
    was asked for, the version of its bank, and the seconds that it has left, infinite where it does not expire.
    """

    prototype: int
    residual: Array | None
    place: Sketch
    bank_version: int
    expires_s: float = math.inf
