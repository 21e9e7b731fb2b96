"""Figures that tell whether a bank still fits its devices: what a service exports, and what calls for a repair."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from persona.bank import Bank
from persona.prototypes.refine import mean_residual

# A prototype is crowded from this many times the share that it would have if all were used alike.
CROWDED = 3.0


@dataclass(frozen=True)
class Health:
    """A bank on live codes.

    `shares` (K,) of the codes at each prototype; `total_variation` between these and the shares counted in the bank,
    0 for alike, 1 for disjoint, None where the bank counts nobody; the numbers of `dead` prototypes, which nobody
    uses, and of `crowded` ones; `drift` (K,) of each centre from the nearest of the bank before, None without one;
    `mean_residual` of the codes. Distances are under each bank's own metric.
    """

    version: int
    shares: tuple[float, ...]
    total_variation: float | None
    dead: tuple[int, ...]
    crowded: tuple[int, ...]
    drift: tuple[float, ...] | None
    mean_residual: float

    def to_json(self) -> dict[str, Any]:
        """Return the figures by name: numbers, lists and null."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def health(bank: Bank, codes: npt.ArrayLike, previous: Bank | None = None) -> Health:
    """Return the figures of a bank on live codes (N, n, d).

    WireError where codes, or the previous bank's, do not fit; DataError where there are none.
    """
    residual = mean_residual(bank, codes)
    counts = np.bincount(bank.assign(codes), minlength=len(bank))
    shares, trained = counts / counts.sum(), bank.counts / max(int(bank.counts.sum()), 1)
    drift = None
    if previous is not None:
        drift = tuple(previous.distances(bank.codes, previous.assign(bank.codes)).tolist())
    return Health(
        version=bank.version,
        shares=tuple(shares.tolist()),
        total_variation=float(0.5 * np.abs(shares - trained).sum()) if bank.counts.any() else None,
        dead=tuple(np.flatnonzero(counts == 0).tolist()),
        crowded=tuple(np.flatnonzero(shares * len(bank) >= CROWDED).tolist()),
        drift=drift,
        mean_residual=residual,
    )
