"""One training step, on one screen (method §4).

Support under base weights gives the sketch (and the loss of the unedited path); the adapter makes edits of it; the
query runs under the edits. The gradient passes through the sketch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional as F

from persona.adapters.persona import PersonaAdapter
from persona.model.editable import Deltas, EditableModel, Output
from persona.model.features import raw_features, standardise
from persona.model.renorm import Renorm
from persona.tasks.base import Array, EpisodeBatch
from persona.training.centres import Centres

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class LossWeights:
    """The terms beside the task loss of the edited query.

    `unedited` (α) weighs the base on the support, so that it stays a safe fallback. `prototype_share` (β) of the
    episodes run under their prototype instead of their own edit, straight-through. `size` (λ) weighs the relative size
    of the deltas. `spread` weighs how alike the codes of different devices are: without it they tend to collapse onto
    one direction. `partial_share` of the episodes run under an edit of partial strength, so that a gate may turn an
    edit down where a device's data is unlike that of training.
    """

    unedited: float = 0.5
    prototype_share: float = 0.1
    size: float = 1e-3
    spread: float = 0.2
    partial_share: float = 0.0


class Seen(NamedTuple):
    """What B support sets gave under base weights: codes (B, n, d) and logits (B·S, C)."""

    codes: Tensor
    logits: Tensor


@dataclass
class Learner:
    """What a step works on: the model, its adapter, the sketch's standardisation, the centres and the task loss.

    `renorm` is the part of an edit that the device works out by itself; None for a learner without it. A `blind` one
    is told nothing of its context: whatever it learns is one edit for everybody, the decisive control.
    """

    model: EditableModel
    adapter: PersonaAdapter
    center: Tensor  # (F,)
    scale: Tensor  # (F,)
    centres: Centres
    loss: Loss = F.cross_entropy
    renorm: Renorm | None = None
    blind: bool = False

    def see(self, support: Shaped[Tensor, "b s ..."]) -> Seen:
        """Return the codes of B support sets and the base model's logits on them."""
        logits, moments = self.model(support.flatten(0, 1))
        return Seen(self.adapter.codes(self._context(support, moments, logits)), logits)

    def learned(self, codes: Float[Tensor, "b n d"], strengths: Tensor | None = None) -> dict[str, Tensor]:
        """Return what codes say, times strengths (B,): {tensor name: (B, *shape)}."""
        deltas: dict[str, Tensor] = self.adapter.decoder(codes)
        if strengths is None:
            return deltas
        return {name: d * strengths.reshape(-1, *[1] * (d.ndim - 1)) for name, d in deltas.items()}

    def run(self, x: Shaped[Tensor, "n ..."], deltas: Deltas) -> Output:
        """Run N = B·Q samples under deltas and, where the learner has them, each device's own statistics."""
        output: Output = self.model(x, deltas, None if self.renorm is None else self.renorm.shares())
        return output

    def settle(self, moments: Float[Tensor, "n m"], deltas: Deltas, windows: int) -> dict[str, Tensor]:
        """Return deltas that hold the own statistics of the windows that `run` gave these moments for.

        Under them the same samples run as they did, and what comes later runs under the same statistics.
        """
        if self.renorm is None:
            return dict(deltas)
        settled: dict[str, Tensor] = self.renorm(
            self.model, moments.reshape(windows, -1, moments.shape[1]).mean(dim=1), deltas
        )
        return settled

    def _context(self, support: Tensor, moments: Tensor, logits: Tensor) -> Any:
        if self.adapter.context == "samples":
            return support
        features = self.features(moments, logits, len(support))
        return features if self.adapter.context == "sketch" else (features, support)

    def features(self, moments: Tensor, logits: Tensor, windows: int) -> Float[Tensor, "b f"]:
        """Return standardised sketch features of B windows, from the outputs on all their samples."""
        features = standardise(window_features(self.model, moments, logits, windows), self.center, self.scale)
        return torch.zeros_like(features) if self.blind else features


def adapter_loss(
    learner: Learner, batch: EpisodeBatch, weights: LossWeights, rng: np.random.Generator
) -> tuple[Tensor, Float[Tensor, "b n d"]]:
    """Return the loss of one batch of episodes and its codes; half of the time the query is the support itself."""
    support, support_y = to_tensors(batch.support, batch.support_labels)  # (B, S, …), (B, S)
    query, query_y = to_tensors(batch.query, batch.query_labels)  # (B, Q, …), (B, Q)
    if rng.random() < 0.5:
        query, query_y = support, support_y

    codes, base_logits = learner.see(support)  # (B, n, d), (B·S, C)
    learner.centres.update(codes.detach())
    used = learner.centres.replace_some(codes, weights.prototype_share, rng)
    deltas = learner.learned(used, draw_strengths(len(codes), weights.partial_share, rng))
    logits, _ = learner.run(query.flatten(0, 1), deltas)

    loss = learner.loss(logits, query_y.flatten())
    loss = loss + weights.unedited * learner.loss(base_logits, support_y.flatten())
    loss = loss + weights.size * relative_size(learner.model, deltas)
    if len(codes) > 1:
        loss = loss + weights.spread * likeness(codes)
    return loss, codes.detach()


def window_features(model: EditableModel, moments: Tensor, logits: Tensor, windows: int) -> Float[Tensor, "b f"]:
    """Return raw sketch features of B windows, from a model's outputs (B·S, …) on all their samples."""
    shape = (windows, len(logits) // windows, -1)
    return raw_features(model.tap_specs, moments.reshape(shape), logits.reshape(shape))


def relative_size(model: EditableModel, deltas: Deltas) -> Tensor:
    """Return the mean over tensors of (mean square of the delta / square of its bound)."""
    ratios = [deltas[t.name].square().mean() / t.bound**2 for t in model.spec.tensors]
    return torch.stack(ratios).mean()


def draw_strengths(count: int, partial_share: float, rng: np.random.Generator) -> Float[Tensor, " b"] | None:
    """Return 1 for most of `count` edits and a number in [0, 1) for a share of them; None, all whole, for no share."""
    if partial_share <= 0:
        return None
    partial = rng.random(count) < partial_share
    return torch.from_numpy(np.where(partial, rng.random(count), 1.0).astype(np.float32))


def likeness(codes: Float[Tensor, "b n d"]) -> Tensor:
    """Return the mean square of the cosine between the codes of two devices: 1 where all are one, 1/(n·d) at its least.

    Codes of even directions have the least of all (Wang and Isola, ICML 2020, call it uniformity), and the
    mean over pairs of a batch is an unbiased estimate, however small the batch.
    """
    rows = F.normalize(codes.flatten(1), dim=1)
    pairs = len(rows) * (len(rows) - 1)
    return ((rows @ rows.T).square().sum() - len(rows)) / pairs


def to_tensors(samples: Array, labels: Array) -> tuple[Tensor, Tensor]:
    """Return samples and labels as tensors; floats as float32, whole labels as int64."""
    x, y = torch.from_numpy(np.ascontiguousarray(samples)), torch.from_numpy(np.ascontiguousarray(labels))
    return x.float() if x.is_floating_point() else x, y.float() if y.is_floating_point() else y.long()
