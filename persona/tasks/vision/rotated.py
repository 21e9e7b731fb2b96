"""Rotated groups: pictures turned by one of fourteen fixed angles, many of some groups and few of others in training.

Source: Zhang et al., "Adaptive Risk Minimization: Learning to Adapt to Domain Shift", NeurIPS 2021, section 4 (rotated
MNIST): angles from 0 to 130 degrees in steps of 10; scored by the average and by the worst group. Here a group is a
device. The sizes of the training groups are ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from persona.errors import DataError
from persona.tasks.vision.data import ImageSet
from persona.tasks.vision.domains import DomainEpisodes
from persona.tasks.vision.labels import LabelDraw
from persona.tasks.vision.scripted import Scene, ScriptedStream, check_enough
from persona.tasks.vision.shifts import FAMILIES, Domain, Part
from persona.tasks.vision.shifts.geometry import LARGEST_ANGLE_DEGREES
from persona.tasks.vision.streams import StreamShape

ANGLES_DEGREES = tuple(range(0, 140, 10))
SHRINKAGE = 0.8  # each group of the training set is that much smaller than the next larger one
ANTICLOCKWISE = (0.25,)  # the sign that the family of rotations draws
STANDARD = StreamShape()


def rotated_streams(
    images: ImageSet, n_per_group: int, seed: int, shape: StreamShape = STANDARD
) -> Sequence[ScriptedStream]:
    """One device for each of the 14 angles, in their order, with as many whole windows as `n_per_group` images fill.

    No image comes twice to a device before all were used. Raises DataError where `n_per_group` or the image set does
    not fill one window.
    """
    check_enough(images, shape, len(ANGLES_DEGREES))
    windows = n_per_group // shape.window_size
    if windows < 1:
        raise DataError(f"groups of {n_per_group} images fill no window of {shape.window_size}; wanted at least one")
    streams = []
    for group, angle in enumerate(ANGLES_DEGREES):
        rng = np.random.default_rng((seed, group, 9))
        draw, size = LabelDraw.of(images.labels), windows * shape.window_size
        drawn = draw.iid(size, rng) if shape.labels == "iid" else draw.skewed(size, shape.concentration, rng)
        scenes = tuple(Scene(turned(angle), first=at == 0) for at in range(windows))
        streams.append(ScriptedStream(images, drawn.reshape(windows, shape.window_size), scenes, (seed, group, 10)))
    return streams


def rotated_episodes(images: ImageSet, seed: int, tasks: int = 6, window: int = 32) -> DomainEpisodes:
    """Training episodes of one group each: every image is in one group, turned by its angle, and nothing else shifts.

    The groups are uneven in size, each 0.8 of the next larger one; which angle is common is drawn from `seed`.
    Raises DataError where the smallest group does not fill a support and a query window.
    """
    groups = uneven_groups(len(images), seed)
    turned_images = np.empty_like(images.images)
    for group, angle in enumerate(ANGLES_DEGREES):
        members = groups == group
        shown = turned(angle).apply(images.images[members], np.random.default_rng(seed))
        turned_images[members] = np.rint(255.0 * shown).astype(np.uint8)
    everything = ImageSet(turned_images, images.labels)
    return DomainEpisodes(everything, "clean", tasks, window, window, groups=groups)


def uneven_groups(n_images: int, seed: int) -> npt.NDArray[np.int64]:
    """The group 0..13 of each of N images: (N,), sizes in a geometric row, larger ones taking what rounding leaves."""
    rng = np.random.default_rng((seed, 11))
    shares = SHRINKAGE ** np.arange(len(ANGLES_DEGREES))
    ends = np.ceil(np.cumsum(shares / shares.sum()) * n_images - 1e-9).astype(np.int64)
    sizes = np.diff(ends, prepend=0)
    order = rng.permutation(len(ANGLES_DEGREES))
    return rng.permutation(np.repeat(order, sizes)).astype(np.int64)


def turned(angle_degrees: float) -> Domain:
    """The domain of one rotation, 0 to 180 degrees: none for 0."""
    if angle_degrees == 0:
        return Domain()
    return Domain((Part(FAMILIES["rotation"], angle_degrees / LARGEST_ANGLE_DEGREES, ANTICLOCKWISE),))
