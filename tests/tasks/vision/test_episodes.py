from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from persona.errors import DataError
from persona.tasks.base import EpisodeBatch, Episodes
from persona.tasks.vision import EpisodeSampler, Family, load_images
from persona.tasks.vision.shifts.family import Images, Parameters
from tests.tasks.vision.pictures import numbered, numbers_of


def _sampler(**changes: Any) -> EpisodeSampler:
    settings: dict[str, Any] = {"split": "clean", "tasks": 4, "support": 6, "query": 3, **changes}
    return EpisodeSampler(images=numbered(per_class=12), **settings)


def test_shapes_and_types() -> None:
    batch = EpisodeSampler(load_images().test, "seen", tasks=3, support=5, query=4).sample(np.random.default_rng(0))
    assert len(batch) == 3
    assert batch.support.shape == (3, 5, 1, 28, 28)
    assert batch.query.shape == (3, 4, 1, 28, 28)
    assert batch.support.dtype == batch.query.dtype == np.float32
    assert batch.support_labels.shape == (3, 5)
    assert batch.query_labels.shape == (3, 4)
    assert batch.support_labels.dtype == np.int64


@pytest.mark.parametrize("labels", ["iid", "skew", 0.5])
def test_support_and_query_share_no_image_and_labels_are_right(labels: Any) -> None:
    sampler, rng = _sampler(labels=labels), np.random.default_rng(0)
    for _ in range(30):
        batch = sampler.sample(rng)
        support, query = numbers_of(batch.support), numbers_of(batch.query)
        assert np.array_equal(support % 10, batch.support_labels)
        assert np.array_equal(query % 10, batch.query_labels)
        for task in range(4):
            assert len({*support[task], *query[task]}) == 9


def paint(images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
    """Every pixel becomes the domain's strength, so that a picture tells its domain."""
    return np.full_like(images, strength)


def test_support_and_query_are_of_one_domain_and_tasks_of_different_ones() -> None:
    families = {"paint": Family("paint", "photometric", "seen", 0, paint)}
    batch = _sampler(split="seen", families=families).sample(np.random.default_rng(0))
    colours = [
        {*np.unique(support), *np.unique(query)} for support, query in zip(batch.support, batch.query, strict=True)
    ]
    assert [len(colour) for colour in colours] == [1, 1, 1, 1]
    assert len(set.union(*colours)) == 4


def test_same_dice_same_batch_and_other_dice_another() -> None:
    sampler = EpisodeSampler(load_images().test, "seen", 2, 4, 4, labels=0.5)
    first, again, other = (sampler.sample(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first.support, again.support)
    assert np.array_equal(first.query_labels, again.query_labels)
    assert not np.array_equal(first.support, other.support)


def _largest_shares(labels: Any) -> list[float]:
    sampler = EpisodeSampler(load_images().test, "clean", 100, 30, 30, labels=labels)
    batch = sampler.sample(np.random.default_rng(0))
    rows = np.concatenate([batch.support_labels, batch.query_labels], axis=1)
    return [np.bincount(row).max() / 60 for row in rows]


def test_class_mixes_are_as_asked_and_support_has_the_mix_of_query() -> None:
    iid, skew, mixed = (np.array(_largest_shares(labels)) for labels in ("iid", "skew", 0.5))
    assert iid.max() < 0.35
    assert skew.mean() > 0.4
    assert 0.3 < (mixed > 0.35).mean() < 0.7


def test_a_sampler_is_a_source_of_episodes() -> None:
    episodes: Episodes = _sampler()
    assert isinstance(episodes.sample(np.random.default_rng(0)), EpisodeBatch)


@pytest.mark.parametrize(
    "changes",
    [
        {"tasks": 0},
        {"support": 0},
        {"query": -1},
        {"labels": 1.5},
        {"labels": "uneven"},
        {"labels": float("nan")},
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="cannot be drawn; wanted at least one"):
        _sampler(**changes)


def test_too_few_images_for_disjoint_draws_are_refused() -> None:
    with pytest.raises(DataError, match="image set has 120 images; wanted at least 121"):
        _sampler(support=100, query=21)
    with pytest.raises(DataError, match="smallest class of the image set has 12 images; wanted at least 13"):
        _sampler(support=10, query=3, labels=0.1)
