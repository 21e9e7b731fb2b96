"""The prototypes as data: a handful of codes, who is nearest, and a local way to pick one without the cloud.

Clustering happens in code space (method §5): codes are normalised, so plain Euclidean distance is the default metric.
A bank may carry another: a matrix L under which the distance of two codes is ``‖(c − c') L‖``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from persona.edit import Array
from persona.errors import SpecError, WireError

# A prototype's number travels in two bytes.
MAX_PROTOTYPES = 65535


@dataclass(frozen=True)
class Bank:
    """K prototypes of one version.

    Shapes: codes (K, n, d); counts (K,) the training devices behind each; map_weight (F, n·d) and map_bias (n·d,) a
    linear map from sketch features to a code, good enough to pick a prototype on the device; metric (n·d, n·d) a factor
    L of the distance between codes (see `persona.prototypes.metric`), None for Euclid's.
    """

    codes: Array
    counts: npt.NDArray[np.int64]
    map_weight: Array
    map_bias: Array
    version: int = 1
    metric: Array | None = None

    def __post_init__(self) -> None:
        """SpecError where the arrays do not fit together."""
        if self.codes.ndim != 3 or not self.codes.size or len(self.codes) > MAX_PROTOTYPES:
            raise SpecError(f"a bank's codes have shape {self.codes.shape}; wanted (K, n, d), K in 1..{MAX_PROTOTYPES}")
        k, width = len(self.codes), math.prod(self.code_shape)
        if self.counts.shape != (k,) or self.map_bias.shape != (width,) or self.map_weight.shape[1:] != (width,):
            raise SpecError(
                f"a bank of {k} codes of width {width} has counts {self.counts.shape}, map {self.map_weight.shape}, "
                f"bias {self.map_bias.shape}; wanted ({k},), (F, {width}), ({width},)"
            )
        if self.metric is not None and self.metric.shape != (width, width):
            raise SpecError(f"a bank's metric has shape {self.metric.shape}; its codes need ({width}, {width})")
        if not all(np.isfinite(a).all() for a in (self.codes, self.map_weight, self.map_bias, self._factor)):
            raise SpecError("a bank has entries that are not finite in codes, map, bias or metric; form it anew")
        if self.counts.min() < 0:
            raise SpecError(f"a bank counts {self.counts.min()} devices behind a prototype; wanted 0 or more")
        if not 0 <= self.version <= 65535:
            raise SpecError(f"a bank has version {self.version}; wanted 0..65535")

    def __len__(self) -> int:
        """K."""
        return len(self.codes)

    @property
    def code_shape(self) -> tuple[int, int]:
        """(n, d)."""
        return int(self.codes.shape[1]), int(self.codes.shape[2])

    def assign(self, codes: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return for codes (B, n, d) the prototypes (B,) of the smallest residual under the bank's metric.

        The first among equals. One code (n, d) counts as a batch of one. WireError where codes have another shape or
        are not finite.
        """
        centres, half_squares = self._centres
        scores = self._rows(codes) @ centres - half_squares
        return np.asarray(np.argmax(scores, axis=1), np.int64)

    def distances(self, codes: npt.ArrayLike, prototypes: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return how far codes (B, n, d) lie from a prototype each, (B,), or from one for all, under the metric: (B,).

        WireError as in `assign`, and where a prototype is unknown.
        """
        numbers = np.asarray(prototypes, np.int64)
        if numbers.size:
            self._check_known(int(numbers.min()))
            self._check_known(int(numbers.max()))
        beyond = self._rows(codes) - self.codes.reshape(len(self), -1)[numbers]
        return np.asarray(np.linalg.norm(beyond @ self._factor, axis=1), np.float64)

    def keep_or_move(self, code: npt.ArrayLike, current: int | None, margin: float) -> int:
        """Return the prototype for a code (n, d) of a device that now uses `current`, or none so far.

        Hysteresis: it moves to the nearest only where that leaves a residual smaller by more than a share `margin` in
        [0, 1). So a device that moved because of a code at distance r from its old prototype does not go back there
        before its code has changed by margin · r. WireError as in `distances`, SpecError for a margin that is no share.
        """
        if not 0 <= margin < 1:
            raise SpecError(f"a hysteresis margin is {margin}; wanted a share from 0, less than 1")
        best = int(self.assign(code)[0])
        if current is None:
            return best
        present, other = self.distances(code, [current])[0], self.distances(code, [best])[0]
        return best if other < (1 - margin) * present else current

    def residual(self, code: Array, prototype: int) -> Array:
        """Return what is left of a code (n, d) beyond its prototype."""
        return np.asarray(code - self.codes[prototype], np.float32)

    def compose(self, prototype: int, residual: Array | None = None) -> Array:
        """Return the code of a prototype, plus a residual where there is one; WireError for an unknown prototype."""
        self._check_known(prototype)
        base = self.codes[prototype]
        if residual is not None and residual.shape != base.shape:
            raise WireError(f"a residual has shape {residual.shape}, a code of this bank {base.shape}")
        return base.copy() if residual is None else np.asarray(base + residual, np.float32)

    def nearest(self, features: Array) -> int:
        """Return the prototype nearest to the code that the linear map gives for sketch features (F,)."""
        return int(self.assign(self.own_code(features))[0])

    def own_code(self, features: Array) -> Array:
        """Return the code (n, d) that the linear map gives for sketch features (F,): what a device works out alone."""
        return np.asarray(features @ self.map_weight + self.map_bias, np.float32).reshape(self.code_shape)

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the arrays by name; the metric where there is one."""
        return {
            "codes": self.codes,
            "counts": self.counts,
            "map_weight": self.map_weight,
            "map_bias": self.map_bias,
            **({} if self.metric is None else {"metric": self.metric}),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]], version: int) -> Bank:
        """Read what `to_arrays` wrote; SpecError where arrays are missing or do not fit."""
        missing = {"codes", "counts", "map_weight", "map_bias"} - arrays.keys()
        if missing:
            raise SpecError(f"a bank lacks the array {min(missing)!r}")
        codes, weight, bias = (np.asarray(arrays[k], np.float32) for k in ("codes", "map_weight", "map_bias"))
        metric = np.asarray(arrays["metric"], np.float32) if "metric" in arrays else None
        return cls(codes, np.asarray(arrays["counts"], np.int64), weight, bias, version, metric)

    def _rows(self, codes: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Codes as rows (B, n·d), in float64: no square overflows there."""
        rows = np.asarray(codes, np.float32)
        if rows.shape[-2:] != self.code_shape or rows.ndim > 3:
            raise WireError(f"codes have shape {rows.shape}, this bank needs (B, *{self.code_shape})")
        if not np.isfinite(rows).all():
            raise WireError("codes have entries that are not finite; discard them and ask again")
        return rows.reshape(-1, self.map_bias.size).astype(np.float64)

    def _check_known(self, prototype: int) -> None:
        if not 0 <= prototype < len(self):
            raise WireError(
                f"prototype {prototype} is unknown; this bank has 0..{len(self) - 1} (version {self.version})"
            )

    @cached_property
    def _factor(self) -> npt.NDArray[np.float64]:
        """The metric's factor L (n·d, n·d); the identity for Euclid's."""
        return np.eye(self.map_bias.size) if self.metric is None else self.metric.astype(np.float64)

    @cached_property
    def _centres(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Codes, through ``L Lᵀ`` where there is a metric, as columns (n·d, K), and half their squared norms (K,)."""
        centres = self.codes.reshape(len(self), -1).astype(np.float64)
        if self.metric is None:
            return centres.T, 0.5 * np.sum(centres**2, axis=1)
        seen = centres @ self._factor
        return self._factor @ seen.T, 0.5 * np.sum(seen**2, axis=1)
