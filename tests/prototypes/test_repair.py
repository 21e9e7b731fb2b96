"""Split, merge, reseed: the right ones by hand, and nothing counted is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from persona.errors import DataError
from persona.prototypes.cluster_statistics import ClusterStatistics
from persona.prototypes.repair import Prototypes, merge_duplicates, reseed_dead, split_crowded
from tests.prototypes.worlds import METRICS, Floats, code_arrays, line


def prototypes_of(centres: Floats, codes: Floats, metric: Any = None) -> Prototypes:
    """Return prototypes whose statistics and counts are those of codes given to the nearest."""
    k, factor = len(centres), None if metric is None else np.asarray(metric, np.float32)
    empty = Prototypes(centres, np.zeros(k, np.int64), ClusterStatistics.empty(k, centres[0].size), factor)
    labels = empty.members(codes)
    sums = ClusterStatistics.of_labels(codes.reshape(len(codes), -1).astype(np.float64), labels, k)
    return Prototypes(centres, sums.count.astype(np.int64), sums, factor)


def conserved(before: Prototypes, after: Prototypes) -> None:
    assert after.counts.sum() == before.counts.sum()
    assert after.counts.min() >= 0
    for name in ("count", "total", "squares"):
        wanted, found = (getattr(each.sums, name).sum(axis=0) for each in (before, after))
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


def test_a_crowded_prototype_splits_into_its_two_groups() -> None:
    """Eight codes at 0 and 4 behind a prototype at 2; its neighbour at 20 has one."""
    codes = line(0, 0, 0, 0, 0, 0, 4, 4, 20)
    before = prototypes_of(line(1, 20), codes)
    after = split_crowded(before, codes, 0.5)
    assert after.codes[:, 0, 0].tolist() == pytest.approx([0, 20, 4])
    assert after.counts.tolist() == [6, 1, 2]
    assert after.sums.inertia() == pytest.approx(0, abs=1e-9)
    conserved(before, after)


def test_one_that_is_not_crowded_or_whose_codes_are_alike_stays() -> None:
    codes = line(0, 0, 0, 5, 6)
    before = prototypes_of(line(0, 5.5), codes)
    for share in (0.7, 0.5):
        after = split_crowded(before, codes, share)
        assert after.codes.tolist() == before.codes.tolist()


def test_a_dead_prototype_takes_half_of_the_most_crowded() -> None:
    codes = line(0, 0, 0, 6, 20)
    before = prototypes_of(line(90, 20, 1.5), codes)
    after = reseed_dead(before, codes)
    assert after.codes[:, 0, 0].tolist() == pytest.approx([6, 20, 0]) or after.codes[:, 0, 0].tolist() == pytest.approx(
        [0, 20, 6]
    )
    assert sorted(after.counts.tolist()) == [1, 1, 3]
    conserved(before, after)


def test_devices_once_counted_at_a_dead_prototype_stay_counted() -> None:
    codes = line(0, 0, 0, 6, 20)
    before = replace(prototypes_of(line(90, 20, 1.5), codes), counts=np.array([7, 1, 4]))
    after = reseed_dead(before, codes)
    assert after.counts[0] >= 7
    conserved(before, after)


def test_near_duplicates_become_their_weighted_mean() -> None:
    codes = line(0, 0, 0, 1, 9)
    before = prototypes_of(line(0, 9, 1), codes)
    after = merge_duplicates(before, 2)
    assert after.codes[:, 0, 0].tolist() == [0.25, 9]
    assert after.counts.tolist() == [4, 1]
    conserved(before, after)
    assert merge_duplicates(before, 1).codes.tolist() == before.codes.tolist()
    assert merge_duplicates(before, 100).codes.shape == (1, 1, 2)


def test_what_is_near_is_for_the_metric_to_say() -> None:
    centres = np.array([[[0, 0]], [[0, 9]], [[1, 0]]], np.float32)
    before = prototypes_of(centres, centres, [[1, 0], [0, 0.01]])
    assert merge_duplicates(before, 0.5).codes.tolist() == [[[0, 4.5]], [[1, 0]]]


@given(code_arrays(1, 5), code_arrays(2, 16), METRICS)
def test_nothing_counted_is_lost(centres: Any, codes: Any, metric: Any) -> None:
    before = prototypes_of(centres, codes, metric)
    for after in (split_crowded(before, codes, 0.3), reseed_dead(before, codes), merge_duplicates(before, 1.5)):
        conserved(before, after)
    assert reseed_dead(before, codes).codes.shape == before.codes.shape


def test_splitting_the_crowded_makes_clusters_tighter() -> None:
    rng = np.random.default_rng(0)
    centres = 5 * rng.normal(size=(6, 1, 2))
    codes = (centres[rng.integers(6, size=600)] + 0.1 * rng.normal(size=(600, 1, 2))).astype(np.float32)
    before = prototypes_of(codes.mean(axis=0, keepdims=True), codes)
    after = before
    for _ in range(3):
        split = split_crowded(after, codes, 0.2)
        after = prototypes_of(split.codes, codes)
    assert after.sums.inertia() < 0.2 * before.sums.inertia()


def test_what_does_not_fit_is_refused() -> None:
    before = prototypes_of(line(0, 1), line(0, 1))
    with pytest.raises(DataError, match=r"recent codes have shape \(1, 2\); wanted finite ones of \(N, \*\(1, 2\)\)"):
        reseed_dead(before, np.zeros((1, 2), np.float32))
    with pytest.raises(DataError, match=r"share above 1\.0; wanted one between 0 and 1"):
        split_crowded(before, line(0), 1.0)
    with pytest.raises(DataError, match=r"2 prototypes of width 2 have counts \(3,\)"):
        Prototypes(line(0, 1), np.zeros(3, np.int64), ClusterStatistics.empty(2, 2))
