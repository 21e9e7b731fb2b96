"""A domain: the condition one device is in, as a value that can be applied, named, stored and drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from persona.errors import DataError
from persona.tasks.vision.shifts.catalog import FAMILIES
from persona.tasks.vision.shifts.family import Family, Images, Parameters

Split = Literal["seen", "held", "clean"]

COMPOSITE_SHARE = 0.5  # of the domains have a geometric and a photometric part; the others have one of the two
WEAKEST = 0.25  # strengths are drawn between this and 1


@dataclass(frozen=True)
class Part:
    """One family at one strength, with the numbers it drew for this domain."""

    family: Family
    strength: float
    parameters: Parameters

    def __post_init__(self) -> None:
        if not 0.0 < self.strength <= 1.0:
            raise DataError(f"strength of shift {self.family.name!r} is {self.strength}; wanted above 0, at most 1")
        if len(self.parameters) != self.family.n_parameters or not all(0 <= p < 1 for p in self.parameters):
            raise DataError(
                f"parameters of shift {self.family.name!r} are {self.parameters}; wanted "
                f"{self.family.n_parameters} numbers in [0, 1)"
            )


@dataclass(frozen=True)
class Domain:
    """Parts applied first to last; without parts the images stay as they are."""

    parts: tuple[Part, ...] = ()

    @property
    def name(self) -> str:
        """For tables and logs, for example `rotation 0.52 + fog 0.31`."""
        return " + ".join(f"{part.family.name} {part.strength:.2f}" for part in self.parts) or "clean"

    def apply(self, images: npt.NDArray[np.uint8] | Images, rng: np.random.Generator) -> Images:
        """Images (N, C, H, W), uint8 or float32 in [0, 1], as this domain shows them: float32 in [0, 1].

        Raises DataError for other input, and where a family from outside returns another shape or type.
        """
        shifted: Images = _scaled(images)
        for part in self.parts:
            shifted = part.family.shift(shifted, part.strength, part.parameters, rng)
            if shifted.shape != images.shape or shifted.dtype != np.float32:
                raise DataError(
                    f"shift {part.family.name!r} returned {shifted.shape} {shifted.dtype}; wanted {images.shape} "
                    f"float32: a shift keeps shape and type"
                )
        return shifted

    def to_json(self) -> str:
        """The domain as one line of JSON, families by name."""
        return json.dumps([[part.family.name, part.strength, list(part.parameters)] for part in self.parts])

    @classmethod
    def from_json(cls, text: str, families: Mapping[str, Family] = FAMILIES) -> Domain:
        """The domain that `to_json` wrote. Raises DataError for other text or an unknown family."""
        try:
            entries = [(str(name), float(strength), _floats(numbers)) for name, strength, numbers in json.loads(text)]
        except (ValueError, TypeError) as error:
            raise DataError(f"text of a domain is {text[:80]!r}; wanted what Domain.to_json writes") from error
        unknown = [name for name, _, _ in entries if name not in families]
        if unknown:
            raise DataError(f"domain uses unknown shifts {unknown}; known are {sorted(families)}: pass `families`")
        return cls(tuple(Part(families[name], strength, numbers) for name, strength, numbers in entries))


def sample_domain(rng: np.random.Generator, split: Split, families: Mapping[str, Family] = FAMILIES) -> Domain:
    """A new domain of `split`: which families, how strong, which way. Strengths are continuous.

    Half of the domains have a geometric and a photometric part, a quarter only the one, a quarter only the other.
    Raises DataError where `families` has none of that split.
    """
    if split == "clean":
        return Domain()
    of_split = [family for family in families.values() if family.split == split]
    kinds = [[family for family in of_split if family.kind == kind] for kind in ("geometric", "photometric")]
    present = [kind for kind in kinds if kind]
    if not present:
        raise DataError(f"no shift family is of split {split!r}; wanted 'seen', 'held' or 'clean' with such families")
    if len(present) == 2 and rng.random() >= COMPOSITE_SHARE:
        present = [present[int(rng.integers(2))]]
    return Domain(tuple(_sample_part(rng, kind) for kind in present))


def _sample_part(rng: np.random.Generator, families: list[Family]) -> Part:
    family = families[int(rng.integers(len(families)))]
    strength = 1.0 - (1.0 - WEAKEST) * rng.random()
    return Part(family, strength, tuple(rng.random(family.n_parameters).tolist()))


def _scaled(images: npt.NDArray[Any]) -> Images:
    if images.ndim != 4 or not (images.dtype == np.uint8 or np.issubdtype(images.dtype, np.floating)):
        raise DataError(
            f"images to shift have shape {images.shape} and type {images.dtype}; wanted (N, C, H, W), uint8 or "
            f"floats in [0, 1]: reshape or convert them"
        )
    if images.dtype == np.uint8:
        return images.astype(np.float32) / np.float32(255)
    return images.astype(np.float32, copy=False)


def _floats(numbers: list[float]) -> Parameters:
    return tuple(float(number) for number in numbers)
