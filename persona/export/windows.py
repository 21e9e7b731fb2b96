"""Windows of training data as a device would sketch them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from persona.edit import Array
from persona.mixture import FEWEST_SAMPLES, MixtureTest
from persona.sketch import Sketch, SketchSpec
from persona.tasks.base import Episodes
from persona.training.step import Learner, to_tensors

# Windows behind a mixture test: each is held whole, sample by sample.
MIXTURE_WINDOWS = 1024


def sketches_of(learner: Learner, spec: SketchSpec, samples: Tensor) -> list[Sketch]:
    """Return one sketch a window of samples (B, S, …), under the base weights."""
    logits, moments = learner.model(samples.flatten(0, 1))
    shape = (len(samples), samples.shape[1], -1)
    pairs = zip(moments.reshape(shape).cpu().numpy(), logits.reshape(shape).cpu().numpy(), strict=True)
    return [Sketch.of(spec, m, z) for m, z in pairs]


def fit_mixture(
    learner: Learner, episodes: Episodes, rng: np.random.Generator, count: int = MIXTURE_WINDOWS
) -> MixtureTest | None:
    """Return the test of at least `count` supports under base weights; None where a support has fewer than 8 samples.

    DataError for fewer than 32 windows.
    """
    found: list[Array] = []
    learner.model.eval()
    with torch.no_grad():
        while sum(len(part) for part in found) < count:
            batch = episodes.sample(rng)
            support, _ = to_tensors(batch.support, batch.support_labels)
            if support.shape[1] < FEWEST_SAMPLES:
                return None
            moments = learner.model(support.flatten(0, 1)).moments
            found.append(moments.reshape(len(support), support.shape[1], -1).cpu().numpy())
    return MixtureTest.fit(np.concatenate(found), rng)
