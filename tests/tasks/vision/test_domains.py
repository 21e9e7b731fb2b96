"""Episodes of several real domains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from persona.errors import DataError
from persona.tasks.vision import FAMILIES
from persona.tasks.vision.domains import NEVER_MILD, DomainEpisodes, mild
from tests.tasks.vision.pictures import numbered, numbers_of, one_part, soft

IMAGES = numbered(25)
GROUPS = np.arange(250) // 10 % 2  # pictures by tens, so that every class is in both domains


def _episodes(**changed: object) -> DomainEpisodes:
    return replace(DomainEpisodes(IMAGES, "clean", 8, 6, 5, groups=GROUPS), **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize("labels", ["iid", "skew", 0.5])
def test_each_episode_is_of_one_domain_and_shares_no_picture(labels: str | float) -> None:
    episodes = _episodes(labels=labels, support=3, query=3)
    batch = episodes.sample(np.random.default_rng(0))
    shown = np.concatenate([numbers_of(batch.support), numbers_of(batch.query)], axis=1)
    domains = GROUPS[shown]
    assert (domains == domains[:, :1]).all()
    assert set(domains[:, 0].tolist()) == {0, 1}
    assert all(len(set(row)) == 6 for row in shown.tolist())
    assert (batch.support_labels == shown[:, :3] % 10).all()


def test_the_same_dice_give_the_same_episodes() -> None:
    first, second, other = (_episodes().sample(np.random.default_rng(seed)).query for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_domains_that_do_not_fit_or_are_too_small_are_refused() -> None:
    with pytest.raises(DataError, match=r"shape \(3,\); wanted \(250,\)"):
        _episodes(groups=np.zeros(3, np.int64))
    with pytest.raises(DataError, match="image set of domain 1 has 5 images; wanted at least 11"):
        _episodes(groups=(np.arange(250) >= 245).astype(np.int64))
    with pytest.raises(DataError, match="smallest class of domain 0 has 12 images; wanted at least 20"):
        _episodes(labels="skew", support=10, query=10, groups=(np.arange(250) >= 125).astype(np.int64))


def test_mild_families_shift_by_a_share_of_their_strength() -> None:
    weak, pictures, rng = mild(share=0.5), soft((2, 3, 16, 16)), np.random.default_rng
    assert set(weak) == set(FAMILIES) - set(NEVER_MILD)
    found = one_part(weak["brightness"], 1.0).apply(pictures, rng(0))
    np.testing.assert_array_equal(found, one_part(FAMILIES["brightness"], 0.5).apply(pictures, rng(0)))
    assert weak["wave"].split == "held"
    with pytest.raises(DataError, match="share of the strength is 0"):
        mild(share=0.0)
