"""Device streams: what one device meets after deployment, window by window, one domain per segment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from persona.errors import DataError
from persona.tasks.vision.data import ImageSet
from persona.tasks.vision.labels import SKEW_CONCENTRATION, Indices, LabelDraw
from persona.tasks.vision.shifts import FAMILIES, Domain, Family, Images, Split, sample_domain

PRIVATE_DOMAINS = 3
ORDER = (0, 1, 0, 2)  # A B A C: two new domains, one that comes back, a third


@dataclass(frozen=True, eq=False)
class Window:
    """W consecutive samples of a device, all in one domain; `first` where a segment begins with it."""

    x: Images  # (W, C, H, W) in [0, 1]
    y: npt.NDArray[np.int64]  # (W,): for scoring only, the device does not have them
    domain: Domain
    segment: int
    first: bool


@dataclass(frozen=True)
class StreamShape:
    """How long segments and windows are, and whose class shares they have.

    `iid`: every image is equally likely. `skew`: class shares are drawn from a Dirichlet(`concentration`) once per
    segment and hold for all of its windows. Raises DataError where a value is out of range.
    """

    windows_per_segment: int = 5
    window_size: int = 32
    labels: Literal["iid", "skew"] = "iid"
    concentration: float = SKEW_CONCENTRATION

    def __post_init__(self) -> None:
        smallest = min(self.windows_per_segment, self.window_size)
        if smallest < 1 or not self.concentration > 0 or self.labels not in ("iid", "skew"):
            raise DataError(f"{self} cannot be drawn; wanted sizes and a concentration above 0, and 'iid' or 'skew'")

    @property
    def segment_size(self) -> int:
        """Images per segment."""
        return self.windows_per_segment * self.window_size


@dataclass(frozen=True, eq=False)
class DeviceStream:
    """One device and the `domains` it meets, in order, one segment each.

    Iterating twice gives the same windows twice: all that is random comes from `seed`. Within a segment an image
    comes again only after all images of the set (`iid`) or of its class (`skew`) were used.
    Raises DataError where there are no images or no domains.
    """

    images: ImageSet
    domains: tuple[Domain, ...]
    shape: StreamShape = StreamShape()
    seed: int | tuple[int, ...] = 0

    def __post_init__(self) -> None:
        if not len(self.images) or not self.domains:
            raise DataError(
                f"stream has {len(self.images)} images and {len(self.domains)} domains; wanted at least one of each"
            )

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.domains) * self.shape.windows_per_segment

    def __iter__(self) -> Iterator[Window]:
        rng = np.random.default_rng(self.seed)
        for segment, domain in enumerate(self.domains):
            windows = self._segment(rng).reshape(self.shape.windows_per_segment, self.shape.window_size)
            for at, indices in enumerate(windows):
                x = domain.apply(self.images.images[indices], rng)
                yield Window(x, self.images.labels[indices], domain, segment, first=at == 0)

    def _segment(self, rng: np.random.Generator) -> Indices:
        if self.shape.labels == "skew":
            return self._draw.skewed(self.shape.segment_size, self.shape.concentration, rng)
        return self._draw.iid(self.shape.segment_size, rng)

    @cached_property
    def _draw(self) -> LabelDraw:
        return LabelDraw.of(self.images.labels)


def make_streams(
    images: ImageSet,
    split: Split,
    n_devices: int,
    seed: int,
    shape: StreamShape = StreamShape(),
    families: Mapping[str, Family] = FAMILIES,
) -> tuple[DeviceStream, ...]:
    """`n_devices` streams in the order A B A C over three private domains each, all drawn from `split`.

    Device i is the same whatever the number of devices, and meets the same domains whatever the shape.
    Raises DataError as `DeviceStream` and `sample_domain` do.
    """
    streams = []
    for device in range(n_devices):
        rng = np.random.default_rng((seed, device, 0))
        private = [sample_domain(rng, split, families) for _ in range(PRIVATE_DOMAINS)]
        streams.append(DeviceStream(images, tuple(private[at] for at in ORDER), shape, (seed, device, 1)))
    return tuple(streams)
