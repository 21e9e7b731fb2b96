"""The jump test over windows: has the data left the domain it was in? (method §7)"""

from __future__ import annotations

from typing import Literal

from persona.edit import Array
from persona.jump import JumpSpec
from persona.sketch import Sketch, SketchSpec

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

    def place(self) -> Sketch:
        """Return the first-tap sketch of where the data is: the last whole window, or the first one under way."""
        return self._closed if self._closed.count else self._open

    def has_left(self, place: Sketch) -> bool:
        """Return whether the data is of another domain than it was at a place."""
        here = self.place()
        return here is not place and self._jump.jumped(self._spec, place, here)

    def drift(self, place: Sketch) -> float:
        """Return how far the data is from a place, in thresholds of the test; 0 while either is empty."""
        here = self.place()
        if not (place.count and here.count):
            return 0.0
        return self._jump.distance(self._spec, place, here) / self._jump.threshold

    def _first_tap(self, moments: Array) -> Sketch:
        rows = moments[:, : self._spec.n_moments]
        return Sketch.of(self._spec, rows, rows[:, :0])
