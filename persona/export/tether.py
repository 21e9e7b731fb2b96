"""The tether's limits, from training windows that had no part in the bank (`persona.tether`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from persona.bank import Bank
from persona.export.windows import sketches_of
from persona.prototypes.metric import gram_matrix, metric_factor
from persona.sketch import SketchSpec
from persona.tasks.base import EpisodeBatch, Episodes
from persona.tether import MOST, USUAL, Limits, Tether
from persona.training.step import Learner, to_tensors

# Windows behind the limits, and how many of the fullest prototypes may become the default.
WINDOWS = 512
CANDIDATES = 8
# A limit is no less than this: a distance or share of nothing would refuse honest rounding.
SMALLEST = 1e-3

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Measure:
    """What one batch of windows gave: distances and shares (B, 6), in the order of `Limits`; losses (1 + candidates,).

    The first loss is the base model's.
    """

    rows: Float64
    losses: Float64


def calibrate_tether(
    learner: Learner, sketch: SketchSpec, bank: Bank, episodes: Episodes, rng: np.random.Generator
) -> Tether:
    """Return the tether of a bank, made of windows drawn anew: the map has seen those that made it, and fits them well.

    Codes are measured by what they do: the decoder's Gram metric, each tensor by its own size. Queries stand for the
    next window of the same device.
    """
    decoder = learner.adapter.decoder.to_numpy()
    gram = gram_matrix(decoder, bank.codes, relative=True)
    # A decoder that was never trained makes one edit of every code: then Euclid's distance is as good as any.
    metric = metric_factor(gram) if gram.any() else np.eye(len(gram), dtype=np.float32)
    anything = Limits(1, 1, 1, 1, 1, 1)
    unlimited = Tether(metric, anything, anything)
    measures: list[_Measure] = []
    learner.model.eval()
    with torch.no_grad():
        while sum(len(m.rows) for m in measures) < WINDOWS:
            measures.append(_measure(learner, sketch, bank, unlimited, episodes.sample(rng)))
    rows = np.concatenate([m.rows for m in measures])
    usual, most = (Limits(*map(float, row)) for row in np.maximum(np.quantile(rows, (USUAL, MOST), axis=0), SMALLEST))
    losses = np.mean([m.losses for m in measures], axis=0)
    best = int(np.argmin(losses))
    return Tether(metric, usual, most, None if best == 0 else best - 1)


def _measure(learner: Learner, sketch: SketchSpec, bank: Bank, tether: Tether, batch: EpisodeBatch) -> _Measure:
    support, _ = to_tensors(batch.support, batch.support_labels)
    query, labels = to_tensors(batch.query, batch.query_labels)
    codes = learner.see(support).codes
    honest = codes.cpu().numpy()
    prototypes = bank.codes[bank.assign(honest)]
    here, there = (_own_codes(learner, sketch, bank, samples) for samples in (support, query))
    picked = bank.codes[bank.assign(here)]
    answers = {
        name: _logits(learner, query, values).argmax(dim=1).reshape(len(query), -1)
        for name, values in {"code": honest, "prototype": prototypes, "own": picked}.items()
    }
    base = learner.model(query.flatten(0, 1)).logits
    plain = base.argmax(dim=1).reshape(len(query), -1)
    flips = [_differ(answers[name], answers["own"]) for name in ("code", "prototype")]
    changes = [_differ(found, plain) for found in answers.values()]
    distances = [
        [tether.distance(one, other) for one, other in zip(given, own, strict=True)]
        for given, own in ((honest, here), (prototypes, here), (honest, there), (prototypes, there))
    ]
    rows = np.stack([*map(np.asarray, distances), np.max(flips, axis=0), np.max(changes, axis=0)], axis=1)
    losses = [float(learner.loss(base, labels.flatten()))]
    for code in bank.codes[:CANDIDATES]:
        everywhere = np.repeat(code[None], len(query), axis=0)
        losses.append(float(learner.loss(_logits(learner, query, everywhere), labels.flatten())))
    return _Measure(rows, np.array(losses))


def _own_codes(learner: Learner, sketch: SketchSpec, bank: Bank, samples: Tensor) -> npt.NDArray[np.float32]:
    return np.stack([bank.own_code(one.features(sketch)) for one in sketches_of(learner, sketch, samples)])


def _logits(learner: Learner, query: Tensor, codes: npt.NDArray[np.float32]) -> Tensor:
    return learner.run(query.flatten(0, 1), learner.learned(torch.from_numpy(codes).to(query.device))).logits


def _differ(one: Tensor, other: Tensor) -> Float64:
    return np.asarray((one != other).double().mean(dim=1).cpu().numpy())
