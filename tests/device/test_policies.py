"""When to ask: each policy on its own, and the schedule's wait after failures."""

from __future__ import annotations

import math

import numpy as np
import pytest

from persona.device import Backoff, EveryN, Observation, OnJump, Pace, Policy, Standard
from persona.device.policies import Schedule
from tests.device.devices import Clock


def paced(policy: Policy, clock: Clock) -> Schedule:
    """Return a schedule whose waits no dice decide."""
    return Schedule(policy, Pace(backoff=Backoff(1.0, 300.0, jitter=0.0)), clock, np.random.default_rng(0))


def seen(since_answer: int = 0, jumped: bool = False, expired: bool = False) -> Observation:
    return Observation(32, since_answer, jumped, expired, math.inf)


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        (EveryN(10), (False, False, True, False, False)),
        (OnJump(), (False, False, False, True, False)),
        (Standard(10), (False, False, True, True, True)),
    ],
)
def test_a_policy_asks_for_its_reasons_and_no_others(policy: Policy, wanted: tuple[bool, ...]) -> None:
    cases = (seen(), seen(9), seen(10), seen(jumped=True), seen(expired=True))
    assert tuple(policy.should_ask(case) for case in cases) == wanted


def test_the_wait_doubles_up_to_its_limit() -> None:
    backoff = Backoff(first_s=0.5, most_s=6.0)
    assert [backoff.wait_s(failures) for failures in range(7)] == [0.0, 0.5, 1.0, 2.0, 4.0, 6.0, 6.0]
    assert backoff.wait_s(10**6) == 6.0


def test_nothing_is_due_before_the_wait_is_over() -> None:
    clock = Clock()
    schedule = paced(OnJump(), clock)
    assert schedule.due(32, math.inf)  # at the start, nothing is known of any domain
    for wait_s in (1.0, 2.0, 4.0):
        schedule.tried()
        schedule.failed()
        clock.now += wait_s * 0.99
        assert not schedule.due(32, math.inf)
        clock.now += wait_s * 0.02
        assert schedule.due(32, math.inf)
    schedule.settled()
    assert not schedule.due(32, math.inf)
    schedule.jumped()
    assert schedule.due(32, math.inf)  # no wait is left over from before


def test_a_late_answer_is_no_failure_and_leaves_the_question_open() -> None:
    schedule = paced(OnJump(), Clock())
    schedule.failed()
    schedule.came_late()
    assert schedule.due(32, math.inf)


def test_an_expiry_is_due_at_its_time() -> None:
    clock = Clock()
    schedule = paced(Standard(), clock)
    schedule.settled()
    assert not schedule.due(32, clock.now + 1)
    assert schedule.due(32, clock.now)


def test_a_policy_is_told_how_long_ago_the_last_request_was() -> None:
    class Patient:
        def should_ask(self, seen: Observation) -> bool:
            return seen.since_try_s >= 60

    clock = Clock()
    schedule = paced(Patient(), clock)
    assert schedule.due(32, math.inf)
    schedule.tried()
    clock.now += 59
    assert not schedule.due(32, math.inf)
    clock.now += 1
    assert schedule.due(32, math.inf)
