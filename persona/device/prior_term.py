"""The prior term at work: a device's class mix, kept window by window, becomes a bias of its logits (method §4)."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from persona.bundle import Bundle
from persona.edit import Array
from persona.prior import PriorNet, PriorState, class_features


class PriorTerm:
    """Many threads may call every method.

    Predictions gather, whatever the sizes of their batches, until they fill a window of the bundle's jump test; then
    the state moves on by one window, and the bias is worked out anew. So single samples weigh what they should, and the
    memory is one window of logits. A batch that fills a window is answered with the bias that it has a part in.
    """

    def __init__(self, bundle: Bundle, wanted: bool = True) -> None:
        """`wanted` False leaves the logits alone, as a bundle without a prior term does."""
        self._net = bundle.prior if wanted else None
        self._lock = threading.Lock()  # of all below
        classes = bundle.sketch.n_classes
        self._rows = np.zeros((bundle.jump.window if self._net else 0, classes), np.float32)
        self._empty = PriorState.empty(max(classes, 1))
        self._since = 0
        self._start()

    @property
    def since(self) -> int:
        """Which domain the state is of, counted from 0: predictions that began in an earlier one do not enter it."""
        return self._since

    def restart(self) -> int:
        """Forget everything: what comes now is of another domain, whose number is returned."""
        with self._lock:
            self._since += 1
            self._start()
            return self._since

    def biased(self, logits: Array, since: int, familiarity: Callable[[], float]) -> Array:
        """Return logits (N, C) plus the bias of the present class mix, after taking them into account.

        `since` is the domain they were predicted in. `familiarity` says how much of the bias holds, in [0, 1]; it is
        asked once a window. Rows that are not finite count for nothing.
        """
        if self._net is None:
            return logits
        with self._lock:
            if since == self._since:
                self._take(self._net, logits[np.isfinite(logits).all(axis=1)], familiarity)
            bias = self._bias
        return np.asarray(logits + bias, np.float32)

    def _start(self) -> None:
        self._state, self._count = self._empty, 0
        self._bias = np.zeros(self._rows.shape[1], np.float32)

    def _take(self, net: PriorNet, rows: Array, familiarity: Callable[[], float]) -> None:
        bias = None
        while len(rows):
            part, rows = np.split(rows, [len(self._rows) - self._count])
            self._rows[self._count : self._count + len(part)] = part
            self._count += len(part)
            if self._count == len(self._rows):
                bias, self._count = self._close(net), 0
        if bias is not None:
            self._bias = bias * np.float32(familiarity())

    def _close(self, net: PriorNet) -> Array:
        """Take a whole window into the state and return its bias (C,); none where a net overflows."""
        self._state = self._state.after(self._rows)
        with np.errstate(over="ignore", invalid="ignore"):
            bias = net.bias(class_features(self._state, self._rows))
        return bias if np.isfinite(bias).all() else np.zeros_like(bias)
