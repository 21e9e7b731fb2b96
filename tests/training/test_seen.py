"""What a user has met before an event."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from persona.training.seen import SeenItems
from tests.training.logs import askable, log_of, noise


@given(st.integers(0, 50))
def test_the_runs_are_what_came_before_each_event(seed: int) -> None:
    log = noise(5, 9, 6, seed)
    seen, events = SeenItems(log), np.random.default_rng(seed).permutation(len(log))
    scores = torch.zeros(len(events), log.n_items + 1)
    seen.before(events).fill_(scores, 1.0)
    items = torch.tensor([4, 2, 6])
    among = seen.before(events).among(items, log.n_items)
    for row, event in enumerate(events):
        before = set(log.items[log.offsets[log.users[event]] : event].tolist())
        assert set(scores[row].nonzero()[:, 0].tolist()) == before
        assert among[row].tolist() == [item in before for item in items.tolist()]


def test_some_rows_of_runs_are_those_rows() -> None:
    log = noise(5, 9, 6)
    runs = SeenItems(log).before(askable(log))
    whole, part = torch.zeros(len(askable(log)), 7), torch.zeros(3, 7)
    runs.fill_(whole)
    runs[slice(2, 5)].fill_(part)
    torch.testing.assert_close(part, whole[2:5])


def test_first_met_says_where_or_never() -> None:
    log = log_of([3, 1, 3], [2])
    met = SeenItems(log).first_met(np.array([0, 2, 3]), np.array([[1, 3], [3, 2], [2, 3]]))
    assert met.tolist() == [[1, 0], [0, 4], [3, 4]]
