"""What a device knows between two events of a stream: how far its sketch has gone, and how unsure its model is.

A ranking device's sketch is made of what surprised the base: fading sums of the gradients of the events' likelihoods.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from persona.backbones.edited import EditedHead
from persona.device.policies import Observation
from persona.tasks.recommendation.events import Positions
from persona.tasks.recommendation.ranking import blocks
from persona.training.event_features import EventFeatures

KEPT = (0.5, 0.9, 0.98)  # of each fading sum, at every event
_RIDGE = 1e-2

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Signals:
    """By position of a log (N,): sketches (N, F), codes of a linear map of them (N, e), uncertainties (N,).

    All lengths are in those of a usual sketch and a usual edit.
    """

    sketches: Floats
    codes: Floats
    uncertainty: Floats

    def between(self, then: int, now: int, *, first: bool) -> Observation:
        """Return what a policy is told at an event, when the edit in force was made before the event `then`."""
        drift = math.dist(self.sketches[now], self.sketches[then])
        moved = math.dist(self.codes[now], self.codes[then])
        since = now - then
        return Observation(since, since, first, False, math.inf, since, drift, moved, float(self.uncertainty[now]))


def sketches_of(features: EventFeatures) -> Floats:
    """Return the sketch (N, F) before every event of a log: a fading sum of surprises for each share that is kept."""
    log, surprise = features.log, features.surprise.numpy().astype(np.float64)
    found = np.zeros((len(log), len(KEPT), surprise.shape[1]))
    kept = np.asarray(KEPT)[:, None]
    for at in range(1, len(log)):
        if log.users[at] == log.users[at - 1]:
            found[at] = kept * found[at - 1] + (1 - kept) * surprise[at - 1]
    return found.reshape(len(log), -1)


def map_of(sketches: Floats, edits: Floats) -> Floats:
    """Return the linear map (F, e) by ridge regression that foretells edits (M, e) from sketches (M, F)."""
    scale = max(float(np.square(sketches).mean()), 1e-12) * len(sketches)
    gram = sketches.T @ sketches + _RIDGE * scale * np.eye(sketches.shape[1])
    return np.asarray(np.linalg.solve(gram, sketches.T @ edits), np.float64)


def signals_of(
    head: EditedHead, features: EventFeatures, wanted: Positions, taught: Positions, edits: Floats
) -> Signals:
    """Return signals at the events that are `wanted`, by a map from sketches to edits (M, e) at others, `taught` (M,).

    Where neither is asked for, an uncertainty is 0.
    """
    sketches = sketches_of(features)
    codes = sketches @ map_of(sketches[taught], edits)
    uncertainty = np.zeros(len(sketches))
    for block in blocks(np.union1d(wanted, taught), head.n_items):
        uncertainty[block] = _entropies(head, features, block).numpy()
    norm = partial(np.linalg.norm, axis=1)
    sizes = [max(float(norm(values[taught]).mean()), 1e-12) for values in (sketches, codes)]
    return Signals(sketches / sizes[0], codes / sizes[1], uncertainty)


@torch.no_grad()
def _entropies(head: EditedHead, features: EventFeatures, block: Positions) -> Tensor:
    """Return the entropy of the base's answers (B,) as a share of the most there can be."""
    scores = head.backbone.scores(features.states[block])
    features.seen.before(block).fill_(scores)
    shares = scores.softmax(dim=1)
    entropies: Tensor = torch.special.entr(shares).sum(dim=1)
    return entropies / math.log(max(head.n_items, 2))
