"""The vision world: Fashion-MNIST on devices whose light, lens and posture differ and change. Numpy only."""

from persona.tasks.vision.data import ImageSet, VisionData, load_images
from persona.tasks.vision.episodes import EpisodeSampler
from persona.tasks.vision.shifts import FAMILIES, HELD, SEEN, Domain, Family, Part, sample_domain

__all__ = [
    "FAMILIES",
    "HELD",
    "SEEN",
    "Domain",
    "EpisodeSampler",
    "Family",
    "ImageSet",
    "Part",
    "VisionData",
    "load_images",
    "sample_domain",
]
