"""What a device remembers of its recent data: the last few samples' statistics, in bounded memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from persona.edit import Array
from persona.sketch import Sketch, SketchSpec


class Recent:
    """The last `limit` samples: moments and logits under base weights, and the samples where something reads them.

    Rows are kept rather than sums, so that the oldest sample leaves exactly when a new one comes, whatever the sizes of
    the batches: one sample at a time and a whole window give the same sketch. Not for use by several threads at once.
    """

    def __init__(self, spec: SketchSpec, limit: int, with_samples: bool) -> None:
        self._spec = spec
        self._with_samples = with_samples
        self._moments = _Ring(limit)
        self._logits = _Ring(limit)
        self._samples = _Ring(limit)
        self._in_window = 0

    def __len__(self) -> int:
        """Samples remembered."""
        return len(self._moments)

    def add(self, samples: Array, moments: Array, logits: Array) -> None:
        """Remember samples (N, …), moments (N, M) and logits (N, C), oldest first; those not finite are left out."""
        whole = _finite_rows(moments) & _finite_rows(logits)
        if self._with_samples:
            whole &= _finite_rows(samples)
            self._samples.add(samples[whole])
        self._moments.add(moments[whole])
        # Without a class histogram, logits may be as wide as a catalogue, and nobody reads them.
        self._logits.add(logits[whole] if self._spec.n_classes else logits[whole, :0])
        self._in_window += int(whole.sum())

    def sketch(self) -> Sketch:
        """Return the sketch of what is remembered."""
        if not len(self):
            return Sketch.empty(self._spec)
        return Sketch.of(self._spec, self._moments.values(), self._logits.values())

    def doubt(self) -> float:
        """Return the mean entropy of the answers remembered, as a share of the most there can be; 0 without any."""
        logits = self._logits.values().astype(np.float64)
        if not logits.size or logits.shape[1] < 2:
            return 0.0
        shifted = logits - logits.max(axis=1, keepdims=True)
        chances = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
        entropy = -np.sum(chances * np.log(np.maximum(chances, 1e-12)), axis=1)
        return float(entropy.mean() / np.log(logits.shape[1]))

    def samples(self) -> Array:
        """Return a copy of the samples (S, …), oldest first; none where nothing reads them."""
        return self._samples.values()

    def moments(self) -> Array:
        """Return a copy of the moments (S, M) under base weights, oldest first."""
        found = self._moments.values()
        return found.reshape(len(found), self._spec.n_moments)

    def start_window(self) -> None:
        """What comes from now on belongs to a new window."""
        self._in_window = 0

    def keep_window(self) -> None:
        """Forget all that came before the window began: it is of another domain."""
        for ring in (self._moments, self._logits, self._samples):
            ring.keep(self._in_window)

    def clear(self) -> None:
        """Forget everything."""
        self._in_window = 0
        self.keep_window()


class _Ring:
    """The last `limit` rows of a stream; their memory is taken once, with the first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rows = np.zeros((0,), np.float32)
        self._count = 0
        self._next = 0

    def __len__(self) -> int:
        return self._count

    def add(self, rows: Array) -> None:
        if not len(self._rows):
            self._rows = np.zeros((self._limit, *rows.shape[1:]), np.float32)
        last = rows[-self._limit :]
        places = (self._next + np.arange(len(last))) % self._limit
        self._rows[places] = last
        self._next = (self._next + len(last)) % self._limit
        self._count = min(self._count + len(last), self._limit)

    def values(self) -> Array:
        places = (self._next - self._count + np.arange(self._count)) % self._limit
        return self._rows[places]

    def keep(self, count: int) -> None:
        self._count = min(self._count, count)


def _finite_rows(values: Array) -> npt.NDArray[np.bool_]:
    return np.asarray(np.isfinite(values).all(axis=tuple(range(1, values.ndim))))
