"""Streams whose answers are known: what a policy asks for, what it may spend, and what it is told."""

import numpy as np
import pytest

from persona.adapters.heads.adapter import ClosedFormEditor
from persona.adapters.heads.forms import EditForm
from persona.bench.recommendation.requests import POLICIES, Chance, Streams, edits_kept, readiness, requested, walked
from persona.bench.recommendation.signals import KEPT, Signals, map_of, sketches_of
from persona.device.policies import EveryN, Observation, OnDrift, PageHinkley
from persona.training.event_features import EventFeatures
from persona.training.heads import answers
from tests.adapters.heads.worlds import marked_head, marked_log


class Wants:
    """Asks before the events of a list."""

    def __init__(self, *at: int) -> None:
        self.at = at
        self.told: list[Observation] = []

    def should_ask(self, seen: Observation) -> bool:
        self.told.append(seen)
        return len(self.told) - 1 in self.at


def still(events: int) -> Signals:
    return Signals(np.zeros((events, 2)), np.zeros((events, 2)), np.zeros(events))


@pytest.fixture(scope="module")
def features() -> EventFeatures:
    return EventFeatures.of(marked_head(), marked_log(30))


def test_the_first_event_asks_and_an_edit_stays_until_the_next_request() -> None:
    policy = Wants(3)
    assert walked(range(10, 16), still(20), policy, 1.0) == [10, 10, 10, 13, 13, 13]
    assert [seen.windows for seen in policy.told] == [0, 1, 2, 3, 1, 2]
    assert [seen.jumped for seen in policy.told] == [True, *[False] * 5]


@pytest.mark.parametrize("budget", [0.1, 0.3, 1.0])
def test_nobody_passes_the_budget(budget: float) -> None:
    made_at = walked(range(100), still(100), EveryN(1), budget)
    assert round(budget * 100) - 1 <= len(set(made_at)) <= round(budget * 100)


def test_what_was_not_spent_is_kept() -> None:
    made_at = walked(range(20), still(20), Wants(15, 16, 17, 18, 19), 0.2)
    assert sorted(set(made_at)) == [0, 15, 16, 19], "of four requests in twenty events the first is one"


def test_a_policy_is_as_ready_as_the_budget_lets_it_be() -> None:
    rng = np.random.default_rng(0)
    signals = Signals(rng.normal(size=(400, 2)), np.zeros((400, 2)), np.zeros(400))

    def make(ready: float) -> Chance:
        return Chance(ready, np.random.default_rng(1))

    assert 0.2 < readiness(make, [range(400)], signals, 0.3) <= 0.3
    drifting = readiness(lambda r: OnDrift(PageHinkley(0.01, 10 ** (2 - 5 * r), least=1)), [range(400)], signals, 0.1)
    assert 0 <= drifting <= 1


def test_queries_outside_every_stream_keep_an_edit_of_their_own() -> None:
    made_at, share = edits_kept(np.asarray([3, 11, 12]), [range(10, 14)], [[10, 10, 12, 12]])
    assert made_at.tolist() == [3, 10, 12]
    assert share == 0.5


def test_sketches_fade_and_do_not_pass_from_user_to_user(features: EventFeatures) -> None:
    found = sketches_of(features)
    log, d = features.log, features.surprise.shape[1]
    assert not found[log.offsets[:-1]].any()
    at = int(log.offsets[1]) + 2
    before = features.surprise.numpy()[at - 2 : at].astype(float)
    wanted = [(1 - kept) * (before[1] + kept * before[0]) for kept in KEPT]
    np.testing.assert_allclose(found[at].reshape(len(KEPT), d), wanted)


def test_a_map_finds_what_is_linear() -> None:
    rng = np.random.default_rng(0)
    sketches, truth = rng.normal(size=(500, 4)), rng.normal(size=(4, 3))
    np.testing.assert_allclose(map_of(sketches, sketches @ truth), truth, atol=0.1)
    assert not map_of(np.zeros((3, 2)), np.ones((3, 1))).any()


def test_every_policy_answers_every_query_within_its_budget(features: EventFeatures) -> None:
    head = marked_head()
    editor = ClosedFormEditor(EditForm(head), head.d, reach=12)
    log = features.log
    learn = Streams(head, editor, features, np.arange(5, int(log.offsets[15])))
    test = Streams(head, editor, features, np.arange(int(log.offsets[15]) + 5, len(log)))
    found = requested(learn, test, np.random.default_rng(0))
    assert {name.rpartition("-")[0] for name in found} <= set(POLICIES)
    assert {"every-30", "random-10", "drift-30", "predicted-30"} <= set(found)
    base = answers(head, None, features, test.asked)
    for name, one in found.items():  # an untrained editor's edits are the base, however old
        np.testing.assert_array_equal(one.ranks, base.ranks)
        first = 1 / len(test.spans()[0])  # each stream is given its first
        assert one.figures["requests"] <= int(name.rpartition("-")[2]) / 100 + first


def test_streams_too_short_for_an_edit_have_no_policies(features: EventFeatures) -> None:
    head = marked_head()
    editor = ClosedFormEditor(EditForm(head), head.d, reach=12)
    early = Streams(head, editor, features, np.arange(1, 5))
    assert requested(early, early, np.random.default_rng(0)) == {}
