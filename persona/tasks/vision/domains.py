"""Training pictures that come from several real domains: each episode is of one of them, mildly shifted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from persona.errors import DataError
from persona.tasks.vision.episodes import EpisodeSampler
from persona.tasks.vision.labels import Indices, LabelDraw
from persona.tasks.vision.shifts import FAMILIES, Family, Images
from persona.tasks.vision.shifts.family import Parameters

MILD = 0.3  # of a family's full strength: an eighth of a turn and a half, a fifth brighter
NEVER_MILD = ("invert",)  # a fold of the tones changes a photograph at any strength


@dataclass(frozen=True, eq=False)
class DomainEpisodes(EpisodeSampler):
    """Draws each episode from one domain of the image set, every domain equally likely, under a shift of `families`.

    `groups` (N,) is the domain of each picture. Everything else is as in `EpisodeSampler`, and its sizes must hold
    within every domain. Raises DataError where they do not, or `groups` does not fit.
    """

    groups: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.groups.shape != self.images.labels.shape:
            raise DataError(
                f"domains of {len(self.images)} pictures have shape {self.groups.shape}; wanted ({len(self.images)},): "
                f"one domain per picture"
            )
        for group, (_, draw) in self._by_group.items():
            self._check_enough(draw, f"image set of domain {group}", f"domain {group}")

    def _indices(self, rng: np.random.Generator) -> Indices:
        groups = list(self._by_group.values())
        members, draw = groups[int(rng.integers(len(groups)))]
        return members[self._drawn(draw, rng)]

    @cached_property
    def _by_group(self) -> dict[int, tuple[Indices, LabelDraw]]:
        found = {}
        for group in np.unique(self.groups).tolist():
            members = np.flatnonzero(self.groups == group)
            found[group] = (members, LabelDraw.of(self.images.labels[members]))
        return found


def mild(families: Mapping[str, Family] = FAMILIES, share: float = MILD) -> Mapping[str, Family]:
    """The families at a `share` of their strength, without those that are never mild. DataError outside of (0, 1]."""
    if not 0.0 < share <= 1.0:
        raise DataError(f"share of the strength is {share}; wanted a number above 0, at most 1")
    kept = {name: family for name, family in families.items() if name not in NEVER_MILD}
    return MappingProxyType({name: replace(family, shift=_Weaker(family, share)) for name, family in kept.items()})


@dataclass(frozen=True)
class _Weaker:
    """A family's shift at a share of the strength asked for; a value, so that domains compare and travel."""

    family: Family
    share: float

    def __call__(self, images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
        return self.family.shift(images, self.share * strength, parameters, rng)
