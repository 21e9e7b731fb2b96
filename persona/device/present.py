"""What a device knows of the present: recent statistics and the jump test, kept together under one lock."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from persona.bundle import Bundle
from persona.device.jump_test import Arrival, JumpTest
from persona.device.recent import Recent
from persona.edit import Array
from persona.sketch import Sketch
from persona.wire import AdaptRequest


@dataclass(frozen=True)
class Memory:
    """What was remembered at one moment: its sketch under base weights, and its samples (S, …), oldest first.

    There are no samples where nothing reads them: neither the adapter nor a renormalisation. `unity` is 1 where the
    samples are of one domain, 0 where they are of several, and 1 where the bundle has no test for that.
    """

    sketch: Sketch
    samples: Array
    unity: float = 1.0


class Present:
    """Many threads may call every method.

    Shapes: x (N, *input_shape); moments (N, M) and logits (N, C) of x under base weights, but for `watch`, whose
    moments may be those under any edit.
    """

    def __init__(self, bundle: Bundle, sketch_share: float, context: str | None = None) -> None:
        """`context` is what requests bring, ``sketch`` or ``samples``; None for what the bundle's adapter reads."""
        self._bundle = bundle
        self._sketch_share = sketch_share
        self._lock = threading.Lock()
        with_samples = "samples" in (bundle.context, context) or bundle.renorm is not None
        self._recent = Recent(bundle.sketch, bundle.support[1], with_samples)
        self._jump_test = JumpTest(bundle.sketch, bundle.jump)
        self._last_x = np.zeros((0, *bundle.input_shape), np.float32)
        self._share_due = 0.0
        self._answered_at = self._jump_test.place()
        self._answered_code: Array | None = None

    def __len__(self) -> int:
        """Samples remembered."""
        with self._lock:
            return len(self._recent)

    @property
    def last_x(self) -> Array:
        """The last samples of the last batch, as many as the memory holds at most; none before the first."""
        return self._last_x

    def watch(self, x: Array, moments: Array) -> Arrival:
        """Return whether x completes the first window, or one of another domain than the last."""
        with self._lock:
            self._keep_last(x)
            return self._jump_test.watch(moments)

    def share(self, count: int) -> npt.NDArray[np.int64]:
        """Return which of `count` samples pass a second time, for the sketch: spread evenly, whatever the batches."""
        with self._lock:
            self._share_due += self._sketch_share * count
            chosen = int(self._share_due)
            self._share_due -= chosen
        return np.linspace(0, count - 1, chosen).astype(np.int64)

    def remember(self, x: Array, moments: Array, logits: Array) -> None:
        """Take samples of the domain that the memory is of."""
        with self._lock:
            self._recent.add(x, moments, logits)
            if not self._jump_test.open_samples:
                self._recent.start_window()

    def begin_domain(self, x: Array, moments: Array, logits: Array) -> None:
        """Take the samples that completed a window of another domain; what came before that window is forgotten."""
        with self._lock:
            if len(x) >= self._bundle.jump.window:  # a window of its own
                self._recent.clear()
            else:
                self._recent.keep_window()
            self._recent.add(x, moments, logits)
            self._recent.start_window()

    def restart(self, x: Array, moments: Array, logits: Array) -> bool:
        """Take samples as all that is known, and as the window that the next is compared with.

        Return whether they are of another domain than the last window.
        """
        with self._lock:
            self._keep_last(x)
            jumped = self._jump_test.restart(moments)
            self._recent.clear()
            self._recent.add(x, moments, logits)
            self._recent.start_window()
        return jumped

    def sketch(self) -> Sketch:
        """Return the sketch of what is remembered."""
        with self._lock:
            return self._recent.sketch()

    def memory(self) -> Memory:
        """Return the sketch and the samples of what is remembered."""
        with self._lock:
            return self._memory()

    def question(self, context: str) -> tuple[AdaptRequest, Memory, Sketch]:
        """Return a request made of what is remembered, that itself, and the place for which the answer holds.

        `context` says what the request brings: the sketch of it, or the samples.
        """
        fingerprint = self._bundle.fingerprint
        with self._lock:
            place, count, memory = self._jump_test.place(), len(self._recent), self._memory()
        values = memory.samples if context == "samples" else memory.sketch.travelling(self._bundle.sketch)
        return AdaptRequest(fingerprint, context, values, count), memory, place

    def answered(self, place: Sketch, sketch: Sketch) -> None:
        """An answer came into force that was asked for at a place, of a sketch: drift is counted from there."""
        with self._lock:
            self._answered_at, self._answered_code = place, self._own_code(sketch)

    def figures(self) -> tuple[float, float, float]:
        """Return drift and move since the last answer and the uncertainty of the base model: see `Observation`."""
        with self._lock:
            drift, sketch, doubt = self._jump_test.drift(self._answered_at), self._recent.sketch(), self._recent.doubt()
            before = self._answered_code
        if before is None:
            return drift, 0.0, doubt
        code, tether = self._own_code(sketch), self._bundle.tether
        if tether is not None:
            return drift, tether.distance(code, before) / tether.most.next_code, doubt
        norm = float(np.mean(np.linalg.norm(self._bundle.bank.codes, axis=(1, 2))))
        return drift, float(np.linalg.norm(code - before)) / max(norm, 1e-9), doubt

    def place(self) -> Sketch:
        """Return the first-tap sketch of where the data is."""
        with self._lock:
            return self._jump_test.place()

    def has_left(self, place: Sketch) -> bool:
        """Return whether the data is of another domain than it was at a place."""
        with self._lock:
            return self._jump_test.has_left(place)

    def _own_code(self, sketch: Sketch) -> Array:
        return self._bundle.bank.own_code(sketch.features(self._bundle.sketch))

    def _memory(self) -> Memory:
        mixture, recent = self._bundle.mixture, self._recent
        return Memory(recent.sketch(), recent.samples(), 1.0 if mixture is None else mixture.share(recent.moments()))

    def _keep_last(self, x: Array) -> None:
        self._last_x = x[-self._bundle.support[1] :].copy()
