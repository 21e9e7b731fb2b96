"""Drift: devices whose condition changes a little from window to window, and a population that drifts for good."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from persona.tasks.vision.data import ImageSet
from persona.tasks.vision.labels import Indices, LabelDraw
from persona.tasks.vision.scripted import Scene, ScriptedStream, check_enough
from persona.tasks.vision.shifts import FAMILIES, Domain, Part, Split, sample_domain
from persona.tasks.vision.shifts.domain import WEAKEST
from persona.tasks.vision.streams import ORDER, StreamShape

STANDARD = StreamShape()
FARTHEST = 1.5  # of the strength that training ends at: where the population's drift ends
DRIFTING = ("gaussian_noise", "gaussian_blur", "fog", "gamma", "scale")  # one after another, these add up without end


def gradual_streams(
    images: ImageSet, split: Split, n_devices: int, seed: int, shape: StreamShape = STANDARD
) -> Sequence[ScriptedStream]:
    """`n_devices` streams, each from one private domain of `split` to another of the same families, evenly.

    A stream has as many windows as one of `make_streams` (four segments), but is one segment: strength and parameters
    move by the same step from each window to the next. Device i is the same whatever the number of devices.
    Raises DataError where the images do not fill a window.
    """
    check_enough(images, shape, n_devices)
    streams = []
    for device in range(n_devices):
        rng = np.random.default_rng((seed, device, 4))
        start = sample_domain(rng, split)
        end = Domain(tuple(_elsewhere(part, rng) for part in start.parts))
        path = [between(start, end, at) for at in _evenly(shape)]
        scenes = tuple(Scene(domain, first=at == 0) for at, domain in enumerate(path))
        streams.append(ScriptedStream(images, _pictures(images, shape, rng), scenes, (seed, device, 5)))
    return streams


def drifting_streams(
    images: ImageSet, n_devices: int, seed: int, shape: StreamShape = STANDARD
) -> Sequence[ScriptedStream]:
    """`n_devices` streams that drift for good, all along the same path, from nothing to beyond the trained strengths.

    Each device keeps one private seen domain; over it lies one seen family, chosen by `seed` for all, whose strength
    grows evenly with time from 0 to 1.5: above 1 it is applied at full strength and then again at the rest. A stream is
    one segment of as many windows as four segments have. Raises DataError where the images do not fill a window.
    """
    check_enough(images, shape, n_devices)
    shared = np.random.default_rng((seed, 6))
    name = DRIFTING[int(shared.integers(len(DRIFTING)))]
    parameters = tuple(shared.random(FAMILIES[name].n_parameters).tolist())
    drift = [_beyond(name, FARTHEST * at, parameters) for at in _evenly(shape)]
    others = {other: family for other, family in FAMILIES.items() if other != name}
    streams = []
    for device in range(n_devices):
        rng = np.random.default_rng((seed, device, 7))
        own = sample_domain(rng, "seen", others).parts
        scenes = tuple(Scene(Domain(own + parts), first=at == 0) for at, parts in enumerate(drift))
        streams.append(ScriptedStream(images, _pictures(images, shape, rng), scenes, (seed, device, 8)))
    return streams


def between(start: Domain, end: Domain, at: float) -> Domain:
    """The domain a share `at` of the way, 0 to 1, between two of the same families in the same order."""
    parts = []
    for a, b in zip(start.parts, end.parts, strict=True):
        parameters = tuple(p + at * (q - p) for p, q in zip(a.parameters, b.parameters, strict=True))
        parts.append(Part(a.family, a.strength + at * (b.strength - a.strength), parameters))
    return Domain(tuple(parts))


def _elsewhere(part: Part, rng: np.random.Generator) -> Part:
    """Another strength and other parameters, on the same side of one half: signs do not flip on the way."""
    strength = 1.0 - (1.0 - WEAKEST) * rng.random()
    sides = [0.5 if parameter >= 0.5 else 0.0 for parameter in part.parameters]
    return Part(part.family, strength, tuple(side + 0.5 * float(rng.random()) for side in sides))


def _beyond(name: str, strength: float, parameters: tuple[float, ...]) -> tuple[Part, ...]:
    """One family at any strength from 0, in full parts and a rest."""
    full, rest = int(strength), strength % 1.0
    strengths = [1.0] * full + ([rest] if rest > 0 else [])
    return tuple(Part(FAMILIES[name], each, parameters) for each in strengths)


def _evenly(shape: StreamShape) -> list[float]:
    found: list[float] = np.linspace(0.0, 1.0, len(ORDER) * shape.windows_per_segment).tolist()
    return found


def _pictures(images: ImageSet, shape: StreamShape, rng: np.random.Generator) -> Indices:
    """The pictures (T, W) of a stream, with class shares of the device's own where the shape's labels are skewed."""
    draw, size = LabelDraw.of(images.labels), len(ORDER) * shape.segment_size
    drawn = draw.iid(size, rng) if shape.labels == "iid" else draw.skewed(size, shape.concentration, rng)
    return drawn.reshape(-1, shape.window_size)
