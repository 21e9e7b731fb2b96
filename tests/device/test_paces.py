"""A budget an hour, dice on waits, and a fleet that does not stampede."""

from __future__ import annotations

import math

import numpy as np
import pytest

from persona.device import Backoff, OnJump, Pace
from persona.device.policies import Schedule, TokenBucket
from persona.errors import DataError
from tests.device.devices import Clock

DEVICES = 1000


def fleet(pace: Pace, clock: Clock) -> list[Schedule]:
    return [Schedule(OnJump(), pace, clock, np.random.default_rng((7, i))) for i in range(DEVICES)]


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    clock = Clock(0.0)
    bucket = TokenBucket(per_s=0.5, most=3, clock=clock)
    given = []
    for _ in range(20):
        if bucket.has_one():
            bucket.take()
            given.append(clock.now)
        clock.now += 0.5
    assert given == [0.0, 0.5, 1.0, 2.0, 4.0, 6.0, 8.0]  # three at once, half a token more by then, then one in two s


def test_a_budget_holds_whatever_the_data_does() -> None:
    clock = Clock(0.0)
    schedule = Schedule(OnJump(), Pace(per_hour=12, burst=2), clock, np.random.default_rng(0))
    asked = 0
    for _ in range(4 * 3600):
        schedule.jumped()
        if schedule.due(32, math.inf):
            schedule.tried()
            schedule.settled()
            asked += 1
        clock.now += 1
    assert asked == 2 + 4 * 12 - 1


def test_a_wish_that_passes_is_not_asked_about() -> None:
    clock = Clock(0.0)
    schedule = Schedule(OnJump(), Pace(spread_s=1000.0), clock, np.random.default_rng(0))
    assert not schedule.due(32, math.inf)
    schedule.settled()  # by hand
    clock.now += 2000
    assert not schedule.due(32, math.inf)


def test_a_shift_of_the_whole_fleet_is_asked_about_over_the_spread() -> None:
    clock = Clock(0.0)
    schedules = fleet(Pace(spread_s=60.0), clock)
    per_second = []
    for _ in range(62):
        due = [s for s in schedules if s.due(32, math.inf)]
        for schedule in due:
            schedule.tried()
            schedule.settled()
        per_second.append(len(due))
        clock.now += 1
    assert sum(per_second) == DEVICES  # everybody is served
    # 16.7 a second on average; without the spread all 1,000 come at once.
    assert max(per_second) < 35
    assert sum(s.due(32, math.inf) for s in schedules) == 0
    assert len([s for s in fleet(Pace(), clock) if s.due(32, math.inf)]) == DEVICES


@pytest.mark.parametrize(("jitter", "least", "most"), [(0.0, DEVICES, DEVICES), (0.5, 1, 30)])
def test_after_an_outage_a_fleet_comes_back_scattered(jitter: float, least: int, most: int) -> None:
    clock = Clock(0.0)
    schedules = fleet(Pace(backoff=Backoff(1.0, 300.0, jitter)), clock)
    back_at, peak, served = 1800, 0, set()
    for second in range(2400):
        due = [i for i, s in enumerate(schedules) if i not in served and s.due(32, math.inf)]
        for i in due:
            schedules[i].tried()
            if second < back_at:
                schedules[i].failed()
            else:
                schedules[i].settled()
                served.add(i)
        if second >= back_at:
            peak = max(peak, len(due))
        clock.now += 1
    assert len(served) == DEVICES
    assert least <= peak <= most


def test_a_wait_lies_between_its_share_and_its_whole() -> None:
    backoff, rng = Backoff(2.0, 60.0, jitter=0.25), np.random.default_rng(0)
    waits = [backoff.draw_s(3, rng) for _ in range(500)]
    assert 6.0 <= min(waits) < 6.1
    assert 7.9 < max(waits) <= 8.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Backoff(jitter=1.5), lambda: Pace(per_hour=0), lambda: Pace(burst=0), lambda: Pace(spread_s=-1.0),
        lambda: Pace(spread_s=math.nan),
    ],
)  # fmt: skip
def test_a_pace_that_makes_no_sense_is_refused(make: object) -> None:
    with pytest.raises(DataError, match="wanted"):
        make()  # type: ignore[operator]
