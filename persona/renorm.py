"""Renormalisation: the part of an edit that a device works out by itself, from statistics of its own recent data.

A batch-normalisation layer subtracts and divides by statistics of training. Mixing in those of the device's recent data
(α-BN: Schneider et al., NeurIPS 2020, equation 2) is the same as another scale and shift of the layer, so it is a delta
like any other: no byte travels for it, forward passes are all it takes, and single samples run under it too. The
statistics are those under the edit itself, so the two compose layer after layer. The strength α of each layer is
learned with the adapter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from persona.edit import Array
from persona.errors import SpecError
from persona.sketch import Sketch, SketchSpec

Float64 = npt.NDArray[np.float64]

# A layer's scale changes by this factor at most, whatever the data: a constant picture has no variance at all.
LARGEST_FACTOR = 8.0
# Deltas that differ by less than this share of a layer's largest scale are as good as the same.
NEGLIGIBLE = 1e-4


@dataclass(frozen=True, eq=False)
class RenormLayer:
    """One layer: statistics of training `mean` and `variance`, base `scale`, each (C,); α in [0, 1]; ε of the layer.

    The tap of the same name must carry the layer's input moments of order 2.
    """

    name: str
    mean: Array
    variance: Array
    scale: Array
    strength: float
    epsilon: float

    def __post_init__(self) -> None:
        """SpecError where shapes differ, entries are not finite, or a number is out of range."""
        arrays = (self.mean, self.variance, self.scale)
        shapes = {a.shape for a in arrays}
        if len(shapes) != 1 or self.mean.ndim != 1 or not self.mean.size:
            raise SpecError(
                f"renormalisation of {self.name!r} has shapes {shapes}; wanted three of one (C,), not empty"
            )
        if not all(np.isfinite(a).all() for a in arrays):
            raise SpecError(f"renormalisation of {self.name!r} has entries that are not finite; train it anew")
        if not 0 <= self.strength <= 1 or not 0 < self.epsilon < 1 or self.variance.min() < 0:
            raise SpecError(
                f"renormalisation of {self.name!r} has strength {self.strength}, epsilon {self.epsilon}, least "
                f"variance {self.variance.min()}; wanted [0, 1], (0, 1) and 0 or more"
            )

    def settled(
        self,
        mean: Array | Float64,
        variance: Array | Float64,
        more_scale: Array | float = 0.0,
        more_shift: Array | float = 0.0,
    ) -> tuple[Array, Array]:
        """Return deltas (C,) of scale and shift that hold input statistics (C,) of the device and learned deltas (C,).

        With scale γ, statistics μ, σ² of training and μ', σ'² mixed, factor f = 1/√(σ'² + ε), learned Δγ and Δβ, they
        are ``(γ + Δγ)·√(σ² + ε)·f − γ`` and ``Δβ + (γ + Δγ)·(μ − μ')·f``; f is at most `LARGEST_FACTOR` / √(σ² + ε).
        """
        a, trained = self.strength, self.variance.astype(np.float64)
        mixed_mean = a * np.asarray(mean, np.float64) + (1 - a) * self.mean.astype(np.float64)
        mixed = a * np.asarray(variance, np.float64) + (1 - a) * trained
        spread = np.sqrt(trained + self.epsilon)
        factor = np.minimum(1 / np.sqrt(mixed + self.epsilon), LARGEST_FACTOR / spread)
        scale = self.scale.astype(np.float64) + more_scale
        stretch = scale * spread * factor - self.scale
        shift = scale * (self.mean - mixed_mean) * factor + more_shift
        return stretch.astype(np.float32), shift.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Renorm:
    """The layers that a device renormalises; none is allowed."""

    layers: tuple[RenormLayer, ...] = ()

    def settled(self, spec: SketchSpec, sketch: Sketch, learned: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """Return {tensor name: delta}: learned deltas with statistics of a sketch settled into those of each layer.

        The sketch is that of a pass under the learned deltas, or under what an earlier call returned. After one pass
        the first layer is exact, for nothing in front of it will change any more; after the next pass the second is,
        and so on. Deltas of other tensors are passed on as they are, and all of them for an empty sketch.
        """
        found = dict(learned or {})
        if not sketch.count:
            return found
        places = dict(zip((tap.name for tap in spec.taps), zip(spec.taps, spec.slices, strict=True), strict=True))
        means = sketch.moments / sketch.count
        for layer in self.layers:
            tap, where = places[layer.name]
            mean = means[where][: tap.channels]
            variance = np.maximum(means[where][tap.channels :] - mean**2, 0.0)
            weight, bias = f"{layer.name}.weight", f"{layer.name}.bias"
            more = found.get(weight, 0.0), found.get(bias, 0.0)
            found[weight], found[bias] = layer.settled(mean, variance, *more)
        return found

    def agree(self, one: Mapping[str, Array], other: Mapping[str, Array]) -> bool:
        """Return whether two outcomes of `settled` are the same, near enough to need no further pass."""
        return all(
            np.abs(one[name] - other[name]).max() <= NEGLIGIBLE * np.abs(layer.scale).max()
            for layer in self.layers
            for name in (f"{layer.name}.weight", f"{layer.name}.bias")
        )

    def check(self, spec: SketchSpec) -> Renorm:
        """Return itself where every layer has its tap; SpecError naming the first that has not."""
        taps = {tap.name: tap for tap in spec.taps}
        for layer in self.layers:
            tap = taps.get(layer.name)
            if tap is None or tap.order != 2 or tap.channels != layer.mean.size:
                raise SpecError(
                    f"renormalisation of {layer.name!r} needs its input tapped: {layer.mean.size} channels, order 2"
                )
        return self

    def to_arrays(self) -> dict[str, Array]:
        """Return every layer as one array ``{name}`` (4, max(C, 2)): mean, variance, scale, and (α, ε, 0, …)."""
        rows: dict[str, Array] = {}
        for layer in self.layers:
            table = np.zeros((4, max(2, layer.mean.size)), np.float32)
            table[:3, : layer.mean.size] = layer.mean, layer.variance, layer.scale
            table[3, :2] = layer.strength, layer.epsilon
            rows[layer.name] = table
        return rows

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], channels: Mapping[str, int]) -> Renorm:
        """Read what `to_arrays` wrote; `channels` says each layer's C. SpecError where an array does not fit."""
        layers = []
        for name, rows in arrays.items():
            c = channels.get(name, 0)
            if rows.ndim != 2 or rows.shape != (4, max(2, c)) or not c:
                raise SpecError(f"renormalisation of {name!r} has shape {rows.shape}; wanted (4, {max(2, c)})")
            mean, variance, scale = (np.asarray(row[:c], np.float32) for row in rows[:3])
            layers.append(RenormLayer(name, mean, variance, scale, float(rows[3, 0]), float(rows[3, 1])))
        return cls(tuple(layers))
