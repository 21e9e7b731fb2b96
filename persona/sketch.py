"""Mergeable moments: what a device says about its recent data without sending a sample.

The exported graph returns, beside the logits, per-sample moments (N, M): for each tapped layer the mean and the mean
square of its input per channel; for a tap of order 1 the mean alone. A `Sketch` is their sum, so that one sample at a
time and a whole window give the same sketch, and two sketches merge by addition (method §2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from persona.edit import Array
from persona.errors import EditError, SpecError

# Features are standardised, so anything beyond this many standard deviations is as good as this many.
FEATURE_LIMIT = 16.0
# Added to a variance before its logarithm, so that a dead channel has a finite one.
VARIANCE_FLOOR = 1e-4

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TapSpec:
    """One tapped layer: `order` 2 keeps mean and mean square per channel, 1 the mean alone."""

    name: str
    channels: int
    order: int = 2

    @property
    def width(self) -> int:
        """Entries of this tap in a moment vector and in a feature vector."""
        return self.channels * self.order


@dataclass(frozen=True)
class SketchSpec:
    """The taps in forward order, the number of classes (0: no class histogram), and the standardisation.

    `center` and `scale` have shape (F,): raw feature f becomes ``(f − center) / scale``, clipped to ±16.
    """

    taps: tuple[TapSpec, ...]
    n_classes: int
    center: Array
    scale: Array

    def __post_init__(self) -> None:
        """SpecError where taps are absent, classes negative, or the standardisation does not fit them."""
        if not self.taps or any(tap.channels < 1 or tap.order not in (1, 2) for tap in self.taps):
            raise SpecError(f"a sketch needs taps of at least one channel and of order 1 or 2; got {self.taps}")
        if self.n_classes < 0:
            raise SpecError(f"a sketch has {self.n_classes} classes; wanted 0 (no class histogram) or more")
        for name, value in (("center", self.center), ("scale", self.scale)):
            if value.shape != (self.n_features,) or not np.isfinite(value).all():
                raise SpecError(f"a sketch's {name} has shape {value.shape}; wanted ({self.n_features},), all finite")
        if self.scale.min() <= 0:
            raise SpecError("a sketch's scale has entries that are not positive")

    @classmethod
    def unscaled(cls, taps: tuple[TapSpec, ...], n_classes: int) -> SketchSpec:
        """Return a spec whose features are raw: centre 0, scale 1."""
        width = sum(tap.width for tap in taps) + n_classes
        return cls(taps, n_classes, np.zeros(width, np.float32), np.ones(width, np.float32))

    @cached_property
    def n_moments(self) -> int:
        """M: entries of a per-sample moment vector."""
        return sum(tap.width for tap in self.taps)

    @cached_property
    def n_features(self) -> int:
        """F: entries of a feature vector: the moments and the class histogram."""
        return self.n_moments + self.n_classes

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """Where each tap's entries stand in a moment or feature vector."""
        ends = np.cumsum([tap.width for tap in self.taps])
        return tuple(slice(int(end) - tap.width, int(end)) for end, tap in zip(ends, self.taps, strict=True))

    def to_json(self) -> dict[str, Any]:
        """Return taps and class count as plain values; centre and scale travel as arrays."""
        return {
            "taps": [{"name": t.name, "channels": t.channels, "order": t.order} for t in self.taps],
            "n_classes": self.n_classes,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], center: Array, scale: Array) -> SketchSpec:
        """Read what `to_json` wrote; SpecError where it is something else."""
        try:
            taps = tuple(TapSpec(str(t["name"]), int(t["channels"]), int(t["order"])) for t in value["taps"])
            return cls(taps, int(value["n_classes"]), center, scale)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise SpecError(f"a sketch spec in JSON is malformed ({error!r}); wanted taps and n_classes") from error


@dataclass(frozen=True)
class Sketch:
    """Sums over `count` samples: moments (M,) and class probabilities (C,), in float64."""

    count: int
    moments: Float64
    classes: Float64

    @classmethod
    def empty(cls, spec: SketchSpec) -> Sketch:
        """Return the sketch of no samples: the neutral element of `merge`."""
        return cls(0, np.zeros(spec.n_moments), np.zeros(spec.n_classes))

    @classmethod
    def of(cls, spec: SketchSpec, moments: npt.ArrayLike, logits: npt.ArrayLike) -> Sketch:
        """Return the sketch of one batch: moments (N, M), logits (N, C); EditError where shapes do not fit.

        Samples whose moments or logits are not finite are left out: one broken sample must not poison a
        window. Where the spec has no classes, logits may be anything with N rows: they only say which.
        """
        rows, scores = np.asarray(moments, np.float64), np.asarray(logits, np.float64)
        if rows.ndim != 2 or rows.shape[1] != spec.n_moments or scores.shape[:1] != rows.shape[:1]:
            raise EditError(
                f"moments have shape {rows.shape}, logits {scores.shape}; wanted (N, {spec.n_moments}) and (N, …)"
            )
        if spec.n_classes and scores.shape[1:] != (spec.n_classes,):
            raise EditError(f"logits have shape {scores.shape}; this sketch needs (N, {spec.n_classes})")
        whole = np.isfinite(rows).all(axis=1) & np.isfinite(scores).all(axis=tuple(range(1, scores.ndim)))
        classes = np.zeros(0)
        if spec.n_classes:
            classes = _softmax(scores[whole]).sum(axis=0)
        return cls(int(whole.sum()), rows[whole].sum(axis=0), classes)

    def merge(self, other: Sketch) -> Sketch:
        """Return the sketch of both sets of samples together; EditError where they are of different specs."""
        if self.moments.shape != other.moments.shape or self.classes.shape != other.classes.shape:
            raise EditError(
                f"sketches of {self.moments.size} moments, {self.classes.size} classes and of {other.moments.size}, "
                f"{other.classes.size} cannot merge; keep those of one bundle together"
            )
        return Sketch(self.count + other.count, self.moments + other.moments, self.classes + other.classes)

    def features(self, spec: SketchSpec) -> Array:
        """Return the standardised feature vector (F,) float32; zeros for an empty sketch."""
        if not self.count:
            return np.zeros(spec.n_features, np.float32)
        raw = np.concatenate([self.tap_features(spec), self.classes / self.count])
        limited: Float64 = np.clip((raw - spec.center) / spec.scale, -FEATURE_LIMIT, FEATURE_LIMIT)
        return limited.astype(np.float32)

    def travelling(self, spec: SketchSpec) -> npt.NDArray[np.float16]:
        """Return the features (F,) as they travel.

        They are standardised and clipped: float16 takes far less from them than the noise of a window does.
        """
        return self.features(spec).astype(np.float16)

    def tap_features(self, spec: SketchSpec, first: int | None = None) -> Float64:
        """Return raw features of the first `first` taps (all by default): mean and log-variance per channel."""
        means = self.moments / max(self.count, 1)
        parts: list[Float64] = []
        for tap, where in zip(spec.taps[:first], spec.slices[:first], strict=True):
            mean = means[where][: tap.channels]
            parts.append(mean)
            if tap.order == 2:
                variance = np.maximum(means[where][tap.channels :] - mean**2, 0.0)
                parts.append(np.log(variance + VARIANCE_FLOOR))
        return np.concatenate(parts)


def _softmax(logits: Float64) -> Float64:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
