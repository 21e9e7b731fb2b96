"""The prior term: what a device's class mix adds to its logits (method §4, "Prior term").

A tiny net, the same for every class, turns what recent windows say of each class into a bias of its logit. It reads a
prior estimated by expectation maximisation (Saerens et al., Neural Computation 2002), the running mean of the
probabilities and the share of each class among a window's answers. It helps where class shares differ from device to
device, and must be gated where the classifier's own histogram is wrong: on unfamiliar data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from persona.edit import Array
from persona.errors import DataError, SpecError

Float64 = npt.NDArray[np.float64]

CLASS_FEATURES, GLOBAL_FEATURES = 3, 4
FEATURES = CLASS_FEATURES + GLOBAL_FEATURES
EM_STEPS = 8
# The share of the past that a new window leaves: four windows or so are remembered.
MEMORY = 0.7
# No class is ever ruled out.
FLOOR = 1e-3
_NAMES = ("w1", "b1", "w2", "b2", "w3", "b3")


@dataclass(frozen=True, eq=False)
class PriorState:
    """Running estimates of a device's class shares: by expectation maximisation and by mean probability, each (C,).

    `weight` is how many windows they stand for, 0 for none.
    """

    em: Float64
    mean: Float64
    weight: float = 0.0

    @classmethod
    def empty(cls, n_classes: int) -> PriorState:
        """Return the state of a device that has seen nothing: all classes alike."""
        even = np.full(n_classes, 1 / n_classes)
        return cls(even, even)

    def after(self, logits: npt.ArrayLike) -> PriorState:
        """Return the state after one more window of logits (N, C).

        Samples whose logits are not finite are left out. DataError where the logits have another width.
        """
        rows = _whole_rows(logits, len(self.em))
        if not len(rows):
            return self
        probabilities = softmax(rows)
        kept = MEMORY * self.weight
        share = 1 / (kept + 1)
        em = (1 - share) * self.em + share * estimate_prior(probabilities)
        mean = (1 - share) * self.mean + share * probabilities.mean(axis=0)
        return PriorState(em, mean, kept + 1)


def softmax(logits: Float64) -> Float64:
    """Return probabilities (N, C) of logits (N, C)."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float64)


def estimate_prior(probabilities: Float64, steps: int = EM_STEPS) -> Float64:
    """Return class shares (C,) by expectation maximisation from probabilities (N, C) of an evenly trained classifier.

    Equation 2.9 of Saerens et al. with an even training prior, `steps` iterations from it.
    """
    prior = np.full(probabilities.shape[1], 1 / probabilities.shape[1])
    for _ in range(steps):
        joint = probabilities * prior
        prior = (joint / np.maximum(joint.sum(axis=1, keepdims=True), 1e-12)).mean(axis=0)
    return np.asarray(prior, np.float64)


def class_features(state: PriorState, logits: npt.ArrayLike) -> Array:
    """Return what the net reads (C, 7): a state that includes the window, and the window's logits (N, C).

    Per class: log of the estimated share, log of the mean probability, share of the answers, each against an even mix.
    For all classes alike: how far both estimates are from even (KL), the window's mean entropy, the windows seen. All
    zero without a sample that is finite. DataError where the logits have another width.
    """
    n_classes = len(state.em)
    rows = _whole_rows(logits, n_classes)
    if not len(rows):
        return np.zeros((n_classes, FEATURES), np.float32)
    probabilities = softmax(rows)
    answers = np.bincount(rows.argmax(axis=1), minlength=n_classes) / len(rows)
    em, mean = np.maximum(state.em, FLOOR), np.maximum(state.mean, FLOOR)
    entropy = -np.mean(np.sum(probabilities * np.log(np.maximum(probabilities, 1e-12)), axis=1))
    per_class = np.stack([np.log(em * n_classes), np.log(mean * n_classes), answers * n_classes - 1], axis=1)
    scale = np.log(max(n_classes, 2))
    overall = np.array([_from_even(em) / scale, _from_even(mean) / scale, entropy / scale, state.weight * (1 - MEMORY)])
    return np.concatenate([per_class, np.tile(overall, (n_classes, 1))], axis=1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class PriorNet:
    """Three layers, shared by the classes: (7, h), (h, h), (h, 1) with ReLU between; the biases sum to zero.

    SpecError where shapes do not fit or entries are not finite.
    """

    arrays: Mapping[str, Array]

    def __post_init__(self) -> None:
        missing = set(_NAMES) - self.arrays.keys()
        if missing:
            raise SpecError(f"a prior net lacks the array {min(missing)!r}; wanted {', '.join(_NAMES)}")
        hidden = self.arrays["b1"].size
        wanted = dict(
            zip(_NAMES, ((FEATURES, hidden), (hidden,), (hidden, hidden), (hidden,), (hidden, 1), (1,)), strict=True)
        )
        for name, shape in wanted.items():
            value = self.arrays[name]
            if value.shape != shape or not np.isfinite(value).all():
                raise SpecError(f"a prior net's {name} has shape {value.shape}; wanted {shape}, all finite")

    def bias(self, features: npt.ArrayLike) -> Array:
        """Return what to add to the logits (C,) for features (C, 7), or (B, C) for (B, C, 7); it sums to zero.

        DataError where the features have another width.
        """
        x = np.asarray(features, np.float32)
        if x.ndim < 2 or x.shape[-1] != FEATURES:
            raise DataError(f"features of classes have shape {x.shape}; a prior net needs (C, {FEATURES})")
        for layer in (1, 2):
            x = np.maximum(x @ self.arrays[f"w{layer}"] + self.arrays[f"b{layer}"], 0)
        out = (x @ self.arrays["w3"] + self.arrays["b3"])[..., 0]
        return np.asarray(out - out.mean(axis=-1, keepdims=True), np.float32)

    def to_arrays(self) -> dict[str, Array]:
        """Return the three layers' weights and biases by name, float32."""
        return {name: self.arrays[name] for name in _NAMES}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> PriorNet:
        """Read what `to_arrays` wrote; SpecError where arrays are missing or do not fit."""
        return cls({name: np.asarray(arrays[name], np.float32) for name in _NAMES if name in arrays})


def _whole_rows(logits: npt.ArrayLike, n_classes: int) -> Float64:
    rows = np.asarray(logits, np.float64)
    if rows.ndim != 2 or rows.shape[1] != n_classes:
        raise DataError(f"logits have shape {rows.shape}; this prior needs (N, {n_classes})")
    return rows[np.isfinite(rows).all(axis=1)]


def _from_even(shares: Float64) -> float:
    normal = shares / shares.sum()
    return float(np.sum(normal * np.log(normal * len(normal))))
