"""How images differ from device to device: families of shifts, and domains made of them."""

from persona.tasks.vision.shifts.catalog import FAMILIES, HELD, SEEN
from persona.tasks.vision.shifts.domain import Domain, Part, Split, sample_domain
from persona.tasks.vision.shifts.family import Family, Images, Shift

__all__ = [
    "FAMILIES",
    "HELD",
    "SEEN",
    "Domain",
    "Family",
    "Images",
    "Part",
    "Shift",
    "Split",
    "sample_domain",
]
