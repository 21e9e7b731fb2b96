"""Streams of corruptions: the four settings that methods of test-time adaptation are compared in.

Source of the settings: Marsden, Döbler and Yang, "Universal Test-time Adaptation through Weight Ensembling, Diversity
Weighting, and Prior Correction" (ROID), WACV 2024, section 4; here at severity 5, one shuffled order for each device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from persona.errors import CatalogError, DataError
from persona.tasks.vision.corruptions.catalog import CORRUPTIONS
from persona.tasks.vision.corruptions.corruption import SEVERITIES
from persona.tasks.vision.data import ImageSet
from persona.tasks.vision.labels import Indices, LabelDraw
from persona.tasks.vision.scripted import Scene, ScriptedStream, check_enough
from persona.tasks.vision.shifts import Domain, Family, Images, Part
from persona.tasks.vision.shifts.family import Parameters
from persona.tasks.vision.streams import StreamShape

CORRELATION = 0.1  # of the Dirichlet over time, for each class: it comes in one or two bursts
TWO_WINDOWS = StreamShape(windows_per_segment=2)  # 30 windows in all

CORRUPTION_SETTINGS: Mapping[str, tuple[bool, bool]] = {  # whether samples mix corruptions, and classes come in bursts
    "continual": (False, False),
    "mixed": (True, False),
    "correlated": (False, True),
    "mixed-correlated": (True, True),
}


def corruption_streams(
    images: ImageSet, setting: str, n_devices: int, seed: int, shape: StreamShape = TWO_WINDOWS
) -> Sequence[ScriptedStream]:
    """`n_devices` streams of 15 segments at severity 5; device i is the same whatever the number of devices.

    continual: one corruption after another, shuffled for each device; mixed: every sample its own corruption, and no
    segment begins; correlated and mixed-correlated: the same with the classes in bursts over the whole stream, so that
    a window holds few of them (the source sorts within a corruption, whose 10,000 images fill many windows; a segment
    here is a few windows, too short for that). The setting decides how labels come, so `shape.labels` must be "iid".
    Raises CatalogError for an unknown setting, DataError where the images do not fill a window.
    """
    if setting not in CORRUPTION_SETTINGS:
        raise CatalogError(
            f"there is no setting {setting!r} of corruptions; there are {', '.join(CORRUPTION_SETTINGS)}"
        )
    if shape.labels != "iid":
        raise DataError(
            f"labels of a stream of corruptions are {shape.labels!r}; wanted 'iid': the setting decides them"
        )
    check_enough(images, shape, n_devices)
    mixed, correlated = CORRUPTION_SETTINGS[setting]
    streams = []
    for device in range(n_devices):
        rng = np.random.default_rng((seed, device, 2))
        scenes = _mixed_scenes(shape) if mixed else _scenes_in_turn(shape, rng)
        drawn = LabelDraw.of(images.labels).iid(len(scenes) * shape.window_size, rng)
        if correlated:
            drawn = in_bursts(drawn, images.labels[drawn], rng)
        rows = drawn.reshape(len(scenes), shape.window_size)
        streams.append(ScriptedStream(images, rows, scenes, (seed, device, 3)))
    return streams


def in_bursts(indices: Indices, labels: npt.NDArray[np.int64], rng: np.random.Generator) -> Indices:
    """The same indices (N,) in an order in which classes come in bursts.

    As many slots of time as classes: a Dirichlet(0.1) says for each class how its samples spread over the slots; in a
    slot the classes follow one another in random order.
    """
    classes = np.unique(labels).tolist()
    slots: list[list[Indices]] = [[] for _ in classes]
    for label in rng.permutation(classes).tolist():
        members = rng.permutation(indices[labels == label])
        shares = rng.dirichlet(np.full(len(classes), CORRELATION))
        cuts = np.rint(np.cumsum(shares)[:-1] * len(members)).astype(np.intp)
        for slot, part in zip(slots, np.split(members, cuts), strict=True):
            slot.append(part)
    return np.concatenate([slot[at] for slot in slots for at in rng.permutation(len(slot)).tolist()])


def _scenes_in_turn(shape: StreamShape, rng: np.random.Generator) -> tuple[Scene, ...]:
    every = list(CORRUPTIONS.values())
    order = [every[at] for at in rng.permutation(len(every)).tolist()]
    return tuple(
        Scene(Domain((Part(corruption.family(), 1.0, ()),)), segment, first=at == 0)
        for segment, corruption in enumerate(order)
        for at in range(shape.windows_per_segment)
    )


def _mixed_scenes(shape: StreamShape) -> tuple[Scene, ...]:
    domain = Domain((Part(Family("mixed_corruptions", "photometric", "held", 0, _Mixed()), 1.0, ()),))
    return tuple(Scene(domain, 0, first=at == 0) for at in range(len(CORRUPTIONS) * shape.windows_per_segment))


@dataclass(frozen=True)
class _Mixed:
    """A shift that gives every sample a corruption of its own, all equally likely."""

    def __call__(self, images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
        every = list(CORRUPTIONS.values())
        result = np.empty_like(images)
        severity = max(1, round(SEVERITIES * strength))
        chosen = rng.integers(len(every), size=len(images))
        for at in np.unique(chosen).tolist():
            result[chosen == at] = every[at](images[chosen == at], severity, rng)
        return result
