"""A user's own samples as episodes: support before query, one device a row, clear errors."""

from __future__ import annotations

import numpy as np
import pytest

from persona.errors import DataError
from persona.tasks.grouped import GroupedEpisodes


def device(name: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return samples that say where they come from: (device, time)."""
    x = np.stack([np.full(length, name), np.arange(length)], axis=1).astype(np.float32)
    return x, np.arange(length)


def test_support_directly_precedes_the_query_of_the_same_device() -> None:
    episodes = GroupedEpisodes({str(i): device(i, 40) for i in range(5)}, tasks=5, support=8, query=4)
    batch = episodes.sample(np.random.default_rng(0))
    assert batch.support.shape == (5, 8, 2)
    assert batch.query.shape == (5, 4, 2)
    assert sorted(batch.support[:, 0, 0]) == [0, 1, 2, 3, 4], "each device once while there are enough"
    for support, query in zip(batch.support, batch.query, strict=True):
        assert len({*support[:, 0], *query[:, 0]}) == 1
        times = [*support[:, 1], *query[:, 1]]
        assert times == list(range(int(times[0]), int(times[0]) + 12))


def test_every_stretch_can_be_drawn_the_last_one_too() -> None:
    episodes = GroupedEpisodes({"a": device(0, 13)}, tasks=1, support=8, query=4)
    starts = {float(episodes.sample(np.random.default_rng(seed)).support[0, 0, 1]) for seed in range(20)}
    assert starts == {0.0, 1.0}


def test_fewer_devices_than_tasks_come_more_than_once() -> None:
    batch = GroupedEpisodes({"a": device(0, 20)}, tasks=3, support=4, query=4).sample(np.random.default_rng(0))
    assert len(batch) == 3


@pytest.mark.parametrize(
    ("devices", "said"),
    [
        ({}, "at least one"),
        ({"short": device(0, 5)}, "'short' has 5 samples"),
        ({"odd": (device(0, 20)[0], np.arange(19))}, "19 labels"),
        ({"a": device(0, 20), "b": (np.zeros((20, 3)), np.zeros(20))}, "different shapes"),
    ],
)
def test_bad_groups_are_named(devices: dict[str, tuple[np.ndarray, np.ndarray]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        GroupedEpisodes(devices, tasks=2, support=4, query=4)
