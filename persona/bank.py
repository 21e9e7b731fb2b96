"""The prototypes as data: a handful of codes, who is nearest, and a local way to pick one without the cloud.

Clustering happens in code space (method §5): codes are normalised, so plain Euclidean distance is the default metric.
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
    linear map from sketch features to a code, good enough to pick a prototype on the device.
    """

    codes: Array
    counts: npt.NDArray[np.int64]
    map_weight: Array
    map_bias: Array
    version: int = 1

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
        if not all(np.isfinite(a).all() for a in (self.codes, self.map_weight, self.map_bias)):
            raise SpecError("a bank has entries that are not finite in codes, map or bias; form it anew")
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
        """Return for codes (B, n, d) the prototypes (B,) of the smallest residual, the first among equals.

        One code (n, d) counts as a batch of one. WireError where codes have another shape or are not finite.
        """
        rows = np.asarray(codes, np.float32)
        if rows.shape[-2:] != self.code_shape or rows.ndim > 3:
            raise WireError(f"codes have shape {rows.shape}, this bank needs (B, *{self.code_shape})")
        if not np.isfinite(rows).all():
            raise WireError("codes have entries that are not finite; discard them and ask again")
        centres, half_squares = self._centres
        scores = rows.reshape(-1, self.map_bias.size).astype(np.float64) @ centres - half_squares
        return np.asarray(np.argmax(scores, axis=1), np.int64)

    def residual(self, code: Array, prototype: int) -> Array:
        """Return what is left of a code (n, d) beyond its prototype."""
        return np.asarray(code - self.codes[prototype], np.float32)

    def compose(self, prototype: int, residual: Array | None = None) -> Array:
        """Return the code of a prototype, plus a residual where there is one; WireError for an unknown prototype."""
        if not 0 <= prototype < len(self):
            raise WireError(
                f"prototype {prototype} is unknown; this bank has 0..{len(self) - 1} (version {self.version})"
            )
        base = self.codes[prototype]
        if residual is not None and residual.shape != base.shape:
            raise WireError(f"a residual has shape {residual.shape}, a code of this bank {base.shape}")
        return base.copy() if residual is None else np.asarray(base + residual, np.float32)

    def nearest(self, features: Array) -> int:
        """Return the prototype nearest to the code that the linear map gives for sketch features (F,)."""
        code = features @ self.map_weight + self.map_bias
        return int(self.assign(code.reshape(self.code_shape))[0])

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the arrays by name."""
        return {
            "codes": self.codes,
            "counts": self.counts,
            "map_weight": self.map_weight,
            "map_bias": self.map_bias,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]], version: int) -> Bank:
        """Read what `to_arrays` wrote; SpecError where arrays are missing or do not fit."""
        missing = {"codes", "counts", "map_weight", "map_bias"} - arrays.keys()
        if missing:
            raise SpecError(f"a bank lacks the array {min(missing)!r}")
        codes, weight, bias = (np.asarray(arrays[k], np.float32) for k in ("codes", "map_weight", "map_bias"))
        return cls(codes, np.asarray(arrays["counts"], np.int64), weight, bias, version)

    @cached_property
    def _centres(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Codes as columns (n·d, K) and half their squared norms (K,), in float64: no square overflows there."""
        centres = self.codes.reshape(len(self), -1).astype(np.float64)
        return centres.T, 0.5 * np.sum(centres**2, axis=1)
