"""Training of the prior term: it starts as nothing, learns shares, treats classes alike, and sees what devices see."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from persona.prior import FEATURES, PriorState, class_features
from persona.tasks.base import EpisodeBatch
from persona.training.centres import Centres
from persona.training.prior import PriorEpisodes, collect_prior_episodes, train_prior
from persona.training.step import Learner, to_tensors
from tests.adapters.building import trained
from tests.training.known import Angles


def shares_of(label: int, classes: int, sharp: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of a device that met nothing but one class, and the logits (4, C) of a window of it."""
    logits = np.zeros((4, classes), np.float32)
    logits[:, label] = sharp
    state = PriorState.empty(classes)
    for _ in range(3):
        state = state.after(logits)
    return class_features(state, logits), logits


def one_class_episodes(labels: range, classes: int, count: int) -> PriorEpisodes:
    """Devices that meet one class each; their windows are undecided, so that history alone says which."""
    rows = [labels[i % len(labels)] for i in range(count)]
    features = np.stack([shares_of(label, classes)[0] for label in rows])
    return PriorEpisodes(features, np.zeros((count, 4, classes), np.float32), np.repeat([[r] for r in rows], 4, axis=1))


def test_it_learns_whom_a_device_meets_and_of_classes_it_never_saw_too() -> None:
    """Classes 0 and 1 are trained on; classes 2 and 3 are treated as they are."""
    net = train_prior(one_class_episodes(range(2), 4, 32), seed=0, steps=60)
    for label in range(4):
        bias = net.bias(shares_of(label, 4)[0])
        assert bias.argmax() == label
        assert bias[label] > 1
        assert bias.sum() == pytest.approx(0, abs=1e-5)


def test_at_its_start_it_adds_nothing() -> None:
    net = train_prior(one_class_episodes(range(2), 4, 8), seed=0, steps=0)
    assert not net.bias(shares_of(1, 4)[0]).any()
    assert net.arrays["w1"].any()


def test_the_same_seed_gives_the_same_net() -> None:
    episodes = one_class_episodes(range(2), 3, 8)
    nets = [train_prior(episodes, seed, steps=5).arrays["w2"] for seed in (1, 1, 2)]
    assert np.array_equal(nets[0], nets[1])
    assert not np.array_equal(nets[0], nets[2])


@dataclass
class Noted:
    """Episodes of a world, each batch of which is noted."""

    world: Angles
    batches: list[EpisodeBatch] = field(default_factory=list)

    def sample(self, rng: np.random.Generator) -> EpisodeBatch:
        self.batches.append(self.world.sample(rng))
        return self.batches[-1]


def learner_of(world: Angles) -> Learner:
    model = world.model().eval()
    width = model.n_features
    return Learner(model, trained(world.adapter(model)), torch.zeros(width), torch.ones(width), Centres(2))


def test_episodes_are_windows_under_their_own_edits_from_the_sources_in_turn() -> None:
    world = Angles(tasks=3, support=5, query=7)
    first, second = Noted(world), Noted(world)
    learner = learner_of(world)
    found = collect_prior_episodes(learner, (first, second), 8, np.random.default_rng(0))
    assert (len(first.batches), len(second.batches)) == (2, 1)
    assert found.features.shape == (9, 2, FEATURES)
    batches = [first.batches[0], second.batches[0], first.batches[1]]
    for at, batch in enumerate(batches):
        rows = slice(3 * at, 3 * at + 3)
        assert np.array_equal(found.labels[rows], batch.query_labels)
        query, _ = to_tensors(batch.query, batch.query_labels)
        for device, window in enumerate(query):
            seen = learner.see(window[None])
            wanted = learner.model(window, learner.learned(seen.codes)).logits.detach()
            np.testing.assert_allclose(found.logits[3 * at + device], wanted, atol=1e-4)
    assert np.isfinite(found.features).all()


def test_some_devices_have_no_history_and_the_others_one_window_of_it() -> None:
    """The last feature counts windows: 0.3 for the one at hand, 0.7 · 0.3 more for one before it."""
    world = Angles(tasks=50, support=5, query=5)
    found = collect_prior_episodes(learner_of(world), (world,), 300, np.random.default_rng(1))
    windows = found.features[:, 0, -1]
    without = np.isclose(windows, 0.3)
    assert np.all(without | np.isclose(windows, 0.51))
    assert 0.1 < without.mean() < 0.3


def test_some_devices_have_the_history_of_another() -> None:
    """Features by hand from each episode's own windows fit most; about 15 % of those with a history fit nobody's."""
    world = Noted(Angles(tasks=50, support=8, query=8))
    learner = learner_of(world.world)
    found = collect_prior_episodes(learner, (world,), 400, np.random.default_rng(3))
    parts = [_with_own_history(learner, batch, found.logits[50 * at :]) for at, batch in enumerate(world.batches)]
    own = np.concatenate(parts)
    with_history = ~np.isclose(found.features[:, 0, -1], 0.3)
    strangers = ~np.isclose(found.features, own, atol=1e-3).all(axis=(1, 2)) & with_history
    assert strangers.sum() / with_history.sum() == pytest.approx(0.15, abs=0.06)


@torch.no_grad()
def _with_own_history(learner: Learner, batch: EpisodeBatch, present: np.ndarray) -> np.ndarray:
    support, _ = to_tensors(batch.support, batch.support_labels)
    seen = learner.see(support)
    past = learner.model(support.flatten(0, 1), learner.learned(seen.codes)).logits
    rows = []
    for before, now in zip(past.reshape(*support.shape[:2], -1).numpy(), present, strict=False):
        rows.append(class_features(PriorState.empty(2).after(before).after(now), now))
    return np.stack(rows)
