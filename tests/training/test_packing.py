"""Windows with many targets: each target once, after what its user did before it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona.errors import DataError, TrainingError
from persona.training.packing import Packing, prefixes
from tests.training.logs import askable, log_of, noise


@given(st.integers(0, 60), st.integers(1, 5), st.integers(0, 4), st.integers(1, 7))
def test_every_target_comes_once_after_its_own_history(seed: int, stride: int, more: int, size: int) -> None:
    log, length, rng = noise(6, 14, 9, seed), stride + more, np.random.default_rng(seed)
    positions = askable(log)
    positions = positions[rng.random(len(positions)) < 0.7]
    if not len(positions):
        return
    met = []
    for batch in Packing(log, positions, length, stride).batches(size, rng):
        assert 0 < len(batch.windows) <= size
        assert len(set(batch.places // batch.windows.shape[1])) == len(batch.windows), "a window without a target"
        assert batch.windows[:, 0].any(), "a column of padding alone"
        assert (batch.targets == log.items[batch.events]).all()
        for window, event in zip(prefixes(batch, length), batch.events, strict=True):
            whole = log.windows(np.array([event]), length)[0]
            known = np.count_nonzero(window)
            assert known >= min(np.count_nonzero(whole), more + 1)
            assert window[length - known :].tolist() == whole[length - known :].tolist()
        met.extend(batch.events.tolist())
    assert sorted(met) == positions.tolist()


def test_the_first_event_of_a_user_is_no_target() -> None:
    log = log_of([1, 2], [3], [4, 5, 6])
    batches = list(Packing(log, np.arange(len(log)), 4, 4).batches(9, np.random.default_rng(0)))
    assert sorted(event for batch in batches for event in batch.events.tolist()) == [1, 4, 5]


def test_epochs_are_cut_in_different_places_and_one_seed_in_the_same() -> None:
    log = noise(8, 30, 9)
    packing = Packing(log, askable(log), 5, 5)

    def epoch(seed: int) -> list[list[int]]:
        return [batch.windows.tolist() for batch in packing.batches(4, np.random.default_rng(seed))]

    assert epoch(1) == epoch(1) != epoch(2)


@pytest.mark.parametrize("seed", range(4))
def test_the_count_of_batches_is_about_right(seed: int) -> None:
    log = noise(200, 30, 9, seed)
    packing = Packing(log, askable(log), 5, 3)
    met = sum(1 for _ in packing.batches(16, np.random.default_rng(seed)))
    assert met == pytest.approx(packing.count(16), rel=0.1)


def test_the_order_of_the_positions_does_not_matter() -> None:
    log, rng = noise(8, 30, 9), np.random.default_rng(0)
    one, other = (
        Packing(log, p, 5, 5).batches(4, np.random.default_rng(1))
        for p in (askable(log), rng.permutation(askable(log)))
    )
    assert [batch.windows.tolist() for batch in one] == [batch.windows.tolist() for batch in other]


def test_what_cannot_be_packed_is_refused() -> None:
    with pytest.raises(DataError, match="wanted places among 2 events"):
        Packing(log_of([1, 2]), np.array([2]), 4, 4)
    with pytest.raises(TrainingError, match="no event to train on has another of its user before it"):
        Packing(log_of([1], [2]), np.arange(2), 4, 4)
    with pytest.raises(TrainingError, match="windows of 4 events have 5 targets each; wanted 1 to 4"):
        Packing(log_of([1, 2]), np.array([1]), 4, 5)
