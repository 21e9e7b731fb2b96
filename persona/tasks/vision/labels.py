"""Which images a device meets: independent draws, or a class mix of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from persona.errors import DataError

Indices = npt.NDArray[np.intp]
SKEW_CONCENTRATION = 0.3  # of the Dirichlet over classes: two or three classes make up most of a device's images


@dataclass(frozen=True, eq=False)
class LabelDraw:
    """Draws indices of images; an image comes again only after its whole pool was used."""

    everything: Indices
    by_class: tuple[Indices, ...]

    @classmethod
    def of(cls, labels: npt.NDArray[np.int64]) -> LabelDraw:
        """Pools of the classes that occur in `labels` (N,). Raises DataError where there are none."""
        if not len(labels):
            raise DataError("image set has 0 images; wanted at least one: check which split was loaded")
        return cls(np.arange(len(labels)), tuple(np.flatnonzero(labels == label) for label in np.unique(labels)))

    def iid(self, size: int, rng: np.random.Generator) -> Indices:
        """`size` indices, every image equally likely."""
        return _from_pool(self.everything, size, rng)

    def skewed(self, size: int, concentration: float, rng: np.random.Generator) -> Indices:
        """`size` indices whose class shares are one draw of a Dirichlet, in random order."""
        shares = rng.dirichlet(np.full(len(self.by_class), concentration))
        counts = rng.multinomial(size, shares).tolist()
        drawn = [_from_pool(pool, count, rng) for pool, count in zip(self.by_class, counts, strict=True) if count]
        return rng.permutation(np.concatenate(drawn))


def _from_pool(pool: Indices, size: int, rng: np.random.Generator) -> Indices:
    rounds, rest = divmod(size, len(pool))
    whole = [rng.permutation(pool) for _ in range(rounds)]
    return np.concatenate([*whole, rng.choice(pool, rest, replace=False)])
