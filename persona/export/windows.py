"""Windows of training data as a device would sketch them."""

from __future__ import annotations

from torch import Tensor

from persona.sketch import Sketch, SketchSpec
from persona.training.step import Learner


def sketches_of(learner: Learner, spec: SketchSpec, samples: Tensor) -> list[Sketch]:
    """Return one sketch a window of samples (B, S, …), under the base weights."""
    logits, moments = learner.model(samples.flatten(0, 1))
    shape = (len(samples), samples.shape[1], -1)
    pairs = zip(moments.reshape(shape).cpu().numpy(), logits.reshape(shape).cpu().numpy(), strict=True)
    return [Sketch.of(spec, m, z) for m, z in pairs]
