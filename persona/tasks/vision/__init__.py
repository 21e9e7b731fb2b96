"""The vision world: Fashion-MNIST on devices whose light, lens and posture differ and change. Numpy only."""

from persona.tasks.vision.data import ImageSet, VisionData, load_images
from persona.tasks.vision.episodes import EpisodeSampler
from persona.tasks.vision.shifts import FAMILIES, HELD, SEEN, Domain, Family, Part, sample_domain
from persona.tasks.vision.streams import DeviceStream, StreamShape, Window, make_streams

__all__ = [
    "FAMILIES",
    "HELD",
    "SEEN",
    "DeviceStream",
    "Domain",
    "EpisodeSampler",
    "Family",
    "ImageSet",
    "Part",
    "StreamShape",
    "VisionData",
    "Window",
    "load_images",
    "make_streams",
    "sample_domain",
]
