"""Refinement: prototypes follow the codes that arrive, version by version, and no device feels a jump (method §5)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from persona.bank import Bank
from persona.edit import Array
from persona.errors import DataError
from persona.prototypes.cluster_statistics import ClusterStatistics
from persona.prototypes.repair import Prototypes, reseed_dead


@dataclass(frozen=True, eq=False)
class ForgettingStatistics:
    """What a bank's prototypes know of the codes given to them; a code's weight halves every `half_life` codes.

    `sums` of K clusters as weighed at time `at`, a clock that counts the codes seen by the whole service; `version` of
    the bank under which the codes were assigned. Values: merging makes new ones, in any order.
    """

    sums: ClusterStatistics
    at: float
    half_life: float
    version: int

    def __post_init__(self) -> None:
        """DataError where time or half-life makes no sense."""
        if not (np.isfinite(self.at) and 0 < self.half_life < np.inf):
            raise DataError(
                f"statistics are of time {self.at} with half-life {self.half_life}; wanted a finite time, and a number "
                "of codes above 0"
            )

    @classmethod
    def of(cls, codes: npt.ArrayLike, bank: Bank, at: float, half_life: float) -> ForgettingStatistics:
        """Return the statistics of codes (B, n, d), none of them forgotten, that arrived at a time.

        No codes (0, n, d) give the neutral element of `merge`. WireError where codes do not fit the bank.
        """
        labels = bank.assign(codes)
        points = np.asarray(codes, np.float64).reshape(len(labels), bank.map_bias.size)
        return cls(ClusterStatistics.of_labels(points, labels, len(bank)), at, half_life, bank.version)

    def decayed(self, factor: float) -> ForgettingStatistics:
        """Return the statistics with every weight times a factor in [0, 1]; DataError for another factor."""
        if not 0 <= factor <= 1:
            raise DataError(f"statistics cannot decay by a factor of {factor}; wanted one in 0..1")
        return replace(self, sums=self.sums.scaled(factor))

    def merge(self, other: ForgettingStatistics) -> ForgettingStatistics:
        """Return both together at the later of their times; DataError where bank or half-life differ."""
        if (self.version, self.half_life) != (other.version, other.half_life):
            raise DataError(
                f"statistics of bank version {self.version}, half-life {self.half_life} cannot merge with those of "
                f"{other.version}, {other.half_life}; carry them over with `under`"
            )
        at = max(self.at, other.at)
        mine, others = (each.decayed(0.5 ** ((at - each.at) / self.half_life)).sums for each in (self, other))
        return replace(self, sums=mine.merge(others), at=at)

    def under(self, bank: Bank) -> ForgettingStatistics:
        """Return the statistics carried to another bank: each cluster goes whole to the prototype nearest to its mean.

        Count, total and squares over all clusters stay the same. WireError where codes of the bank have another shape.
        """
        filled = self.sums.count > 0
        means = self.sums.means(np.zeros_like(self.sums.total))[filled].reshape(-1, *bank.code_shape)
        labels = bank.assign(means)
        count, total, squares = np.zeros(len(bank)), np.zeros((len(bank), bank.map_bias.size)), np.zeros(len(bank))
        np.add.at(count, labels, self.sums.count[filled])
        np.add.at(total, labels, self.sums.total[filled])
        np.add.at(squares, labels, self.sums.squares[filled])
        return replace(self, sums=ClusterStatistics(count, total, squares), version=bank.version)


@dataclass(frozen=True, eq=False)
class Refreshed:
    """A bank, whether it is the new one, and the mean distance of held-back codes to their prototypes, old and new."""

    bank: Bank
    accepted: bool
    before: float
    after: float


def refresh(bank: Bank, statistics: ForgettingStatistics, rate: float = 1.0, recent: Array | None = None) -> Bank:
    """Return the bank's next version: prototypes moved by `rate`, in (0, 1], of the way to the mean of their codes.

    Counts become the codes counted, rounded. Prototypes without codes stay, or, where `recent` codes (N, n, d) are
    given, are reseeded from the most crowded. The map to codes and the metric stay. DataError where the statistics are
    not of this bank or the rate is none; SpecError where version numbers have run out.
    """
    if statistics.version != bank.version or statistics.sums.total.shape != (len(bank), bank.map_bias.size):
        raise DataError(
            f"statistics of bank version {statistics.version}, {statistics.sums.total.shape}, cannot refresh version "
            f"{bank.version} with {len(bank)} prototypes; carry them over with `under`"
        )
    if not 0 < rate <= 1:
        raise DataError(f"a refresh has rate {rate}; wanted a share of the way above 0, 1 at most")
    old = bank.codes.reshape(len(bank), -1).astype(np.float64)
    moved = (old + rate * (statistics.sums.means(old) - old)).astype(np.float32).reshape(bank.codes.shape)
    counts = np.rint(statistics.sums.count).astype(np.int64)
    prototypes = Prototypes(moved, counts, statistics.sums, bank.metric)
    if recent is not None:
        prototypes = reseed_dead(prototypes, recent)
    return replace(bank, codes=prototypes.codes, counts=prototypes.counts, version=bank.version + 1)


def refresh_or_keep(
    bank: Bank, statistics: ForgettingStatistics, held_back: Array, rate: float = 1.0, recent: Array | None = None
) -> Refreshed:
    """Return the refreshed bank where it brings held-back codes (N, n, d) nearer on average, else the one that is.

    Distance is under the bank's metric. Errors as in `refresh`; DataError where no codes were held back.
    """
    new = refresh(bank, statistics, rate, recent)
    before, after = mean_residual(bank, held_back), mean_residual(new, held_back)
    return Refreshed(new if after < before else bank, after < before, before, after)


def rebase(old: Bank, new: Bank, prototype: int, residual: Array | None) -> tuple[int, Array | None]:
    """Return a device's prototype and residual (n, d) under a new bank, so that its composed code stays what it is.

    Exact within float32 rounding: no jump. The prototype is the nearest; the residual None where it alone is the code.
    WireError where the old bank has no such prototype, or the shapes do not fit.
    """
    code = old.compose(prototype, residual)
    nearest = int(new.assign(code)[0])
    beyond = new.residual(code, nearest)
    return nearest, beyond if beyond.any() else None


def mean_residual(bank: Bank, codes: npt.ArrayLike) -> float:
    """Return the mean distance of codes (N, n, d) to their nearest prototypes; DataError where there are none."""
    nearest = bank.assign(codes)
    if not len(nearest):
        raise DataError("a mean residual was asked for of no codes; hold some back")
    return float(bank.distances(codes, nearest).mean())
