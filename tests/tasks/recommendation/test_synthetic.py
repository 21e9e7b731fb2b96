"""The drift world: its switches are those it says, and its oracle is what nobody beats."""

from __future__ import annotations

import numpy as np
import pytest

from persona.errors import DataError
from persona.tasks.recommendation.metrics import gains
from persona.tasks.recommendation.ranking import rank_targets
from persona.tasks.recommendation.splits import temporal_at
from persona.tasks.recommendation.synthetic import NEW, RETURN, START, STAY, WorldShape, make_world

WORLD = make_world(WorldShape(users=120, items=150, interests=5, events=40), seed=0)
QUERIES = np.flatnonzero(np.arange(len(WORLD.log)) > WORLD.log.offsets[WORLD.log.users])


def test_a_world_is_the_same_every_time() -> None:
    shape = WorldShape(users=5, items=30, interests=3, events=10)
    one, same, other = (make_world(shape, seed).log.items.tolist() for seed in (1, 1, 2))
    assert one == same != other


def test_switches_are_what_they_say() -> None:
    for user in range(WORLD.log.n_users):
        rows = slice(WORLD.log.offsets[user], WORLD.log.offsets[user + 1])
        had: set[int] = set()
        before, lasted = -1, 0
        for interest, kind, since in zip(WORLD.interests[rows], WORLD.kinds[rows], WORLD.since[rows], strict=True):
            changed = interest != before
            wanted = START if not had else RETURN if changed and interest in had else NEW if changed else STAY
            lasted = 0 if changed else lasted + 1
            assert (kind, since) == (wanted, lasted)
            had.add(int(interest))
            before = interest
    switches = np.isin(WORLD.kinds, (RETURN, NEW))
    assert 1 / 15 < switches.sum() / len(QUERIES) < 1 / 9, "an interest lasts 12 events on average"


def test_nobody_meets_an_item_twice_and_probabilities_say_so() -> None:
    log = WORLD.log
    for user in range(log.n_users):
        assert len(set(log.items[log.offsets[user] : log.offsets[user + 1]].tolist())) == 40
    shares = WORLD.probabilities(QUERIES)
    assert shares.sum(1) == pytest.approx(1, abs=1e-4)
    assert (shares[:, 0] == 0).all()
    assert (shares[np.arange(len(QUERIES)), log.items[QUERIES]] > 0).all()


def test_the_oracle_is_above_whoever_does_not_know_the_interest() -> None:
    def ndcg(score: object) -> float:
        return float(gains(rank_targets(score, WORLD.log, QUERIES), 10).mean())  # type: ignore[arg-type]

    oracle, blind = ndcg(WORLD.probabilities), ndcg(WORLD.blind)
    assert oracle > 1.3 * blind > 0


def test_the_true_probabilities_are_calibrated() -> None:
    """Of everything given a share of about p, about p happens."""
    shares = WORLD.probabilities(QUERIES)
    happened = np.zeros_like(shares, np.bool_)
    happened[np.arange(len(QUERIES)), WORLD.log.items[QUERIES]] = True
    for low, high in ((0.001, 0.01), (0.05, 0.1), (0.1, 0.2), (0.2, 0.5)):
        of = (shares >= low) & (shares < high)
        spread = np.sqrt(shares[of].sum())
        assert abs(happened[of].sum() - shares[of].sum()) < 4 * spread


def test_the_population_drifts_at_the_time_it_says() -> None:
    assert WORLD.drift_from is not None
    split = temporal_at(WORLD.log, WORLD.drift_from - 4 * 3600, WORLD.drift_from)
    stale = make_world(WorldShape(users=120, items=150, interests=5, events=40, drift_at=None), seed=0)
    late = rank_targets(WORLD.probabilities, WORLD.log, split.test)
    assert stale.drift_from is None
    before = WORLD.tables[0, WORLD.interests[split.test], WORLD.log.windows(split.test, 1)[:, 0]]
    aged = rank_targets(lambda block: before[np.searchsorted(split.test, block)], WORLD.log, split.test)
    assert gains(late, 10).mean() > 1.2 * gains(aged, 10).mean()
    same = (WORLD.tables[0] == WORLD.tables[1]).all((1, 2))
    assert same.sum() == 3, "half of five interests, rounded, drift"


@pytest.mark.parametrize(
    "given", [{"users": 0}, {"dwell": 0.5}, {"followed": 1.5}, {"items": 40}, {"sharpness": -1.0}, {"drift_at": 2.0}]
)
def test_worlds_that_cannot_be_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(DataError, match="wanted"):
        WorldShape(**given)  # type: ignore[arg-type]


def test_one_interest_never_switches() -> None:
    world = make_world(WorldShape(users=4, items=20, interests=1, events=8, followers=2), seed=0)
    assert set(world.kinds.tolist()) == {START, STAY}
