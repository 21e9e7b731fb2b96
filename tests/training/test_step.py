"""One training step: which windows it learns from, what its loss is made of, and where its gradient goes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from persona.model import raw_features, standardise
from persona.tasks.base import EpisodeBatch
from persona.training import Learner, LossWeights
from persona.training.centres import Centres
from persona.training.step import adapter_loss, draw_strengths, likeness, relative_size, to_tensors
from tests.adapters.building import trained
from tests.training.known import Angles

WORLD = Angles(tasks=3, support=5, query=7)
ONLY_TASK = LossWeights(unedited=0.0, prototype_share=0.0, size=0.0, spread=0.0)


class Dice(np.random.Generator):
    """Rolls one number only."""

    def __init__(self, roll: float) -> None:
        super().__init__(np.random.PCG64(0))
        self.roll = roll

    def random(self, size: int | None = None) -> object:  # type: ignore[override]
        return self.roll if size is None else np.full(size, self.roll)


QUERY, SUPPORT = Dice(0.9), Dice(0.1)


def learner(world: Angles = WORLD) -> Learner:
    model = world.model().eval()
    width = model.n_features
    centres = Centres(2)
    return Learner(model, trained(world.adapter(model)), torch.zeros(width), torch.ones(width), centres)


def batch(seed: int = 0) -> EpisodeBatch:
    return WORLD.sample(np.random.default_rng(seed))


def by_hand(learner: Learner, batch: EpisodeBatch, device: int, *, query: bool) -> tuple[Tensor, Tensor]:
    """Return the edited query's loss and the unedited support's, of one device alone."""
    support, support_y = to_tensors(batch.support[device], batch.support_labels[device])
    x, y = to_tensors(batch.query[device], batch.query_labels[device]) if query else (support, support_y)
    logits, moments = learner.model(support)
    features = standardise(
        raw_features(learner.model.tap_specs, moments[None], logits[None]), learner.center, learner.scale
    )
    deltas = learner.adapter(features)
    return F.cross_entropy(learner.model(x, deltas).logits, y), F.cross_entropy(logits, support_y)


@pytest.mark.parametrize(("dice", "query"), [(QUERY, True), (SUPPORT, False)])
def test_the_loss_is_that_of_each_device_under_its_own_edit(dice: Dice, query: bool) -> None:
    made = learner()
    losses = [by_hand(made, batch(), device, query=query) for device in range(3)]
    edited, unedited = (torch.stack(parts).mean() for parts in zip(*losses, strict=True))
    torch.testing.assert_close(adapter_loss(made, batch(), ONLY_TASK, dice)[0], edited)
    both = replace(ONLY_TASK, unedited=0.5)
    torch.testing.assert_close(adapter_loss(made, batch(), both, dice)[0], edited + 0.5 * unedited)


def test_a_query_never_reaches_the_codes() -> None:
    made, first, other = learner(), batch(0), batch(1)
    mixed = EpisodeBatch(first.support, first.support_labels, other.query, other.query_labels)
    losses, codes = zip(*(adapter_loss(made, b, ONLY_TASK, QUERY) for b in (first, mixed)), strict=True)
    assert torch.equal(codes[0], codes[1])
    assert losses[0] != losses[1]


def test_the_size_of_an_edit_is_relative_to_its_bounds() -> None:
    made = learner()
    deltas = {tensor.name: torch.full((2, *tensor.shape), tensor.bound / 2) for tensor in made.model.spec.tensors}
    assert float(relative_size(made.model, deltas)) == pytest.approx(0.25)
    plain = adapter_loss(made, batch(), ONLY_TASK, QUERY)[0]
    sized = adapter_loss(made, batch(), replace(ONLY_TASK, size=2.0), QUERY)[0]
    size = relative_size(made.model, made.adapter.decoder(adapter_loss(made, batch(), ONLY_TASK, QUERY)[1]))
    torch.testing.assert_close(sized, plain + 2 * size)


def test_the_gradient_passes_through_the_sketch_to_the_base() -> None:
    made = learner()
    weight = made.model.module.get_parameter("1.weight")
    adapter_loss(made, batch(), ONLY_TASK, QUERY)[0].backward()
    whole = weight.grad
    made.model.zero_grad()
    support, _ = to_tensors(batch().support, batch().support_labels)
    query, query_y = to_tensors(batch().query, batch().query_labels)
    deltas = made.adapter.decoder(made.see(support).codes.detach())
    F.cross_entropy(made.model(query.flatten(0, 1), deltas).logits, query_y.flatten()).backward()
    assert whole is not None
    assert weight.grad is not None
    assert (whole - weight.grad).abs().max() > 1e-4


def test_prototypes_take_the_place_of_some_edits() -> None:
    made = learner()
    made.centres = Centres(2, rate=0.0)
    made.centres.update(torch.stack([torch.zeros(1, 8), torch.ones(1, 8)]))
    every = replace(ONLY_TASK, prototype_share=1.0)
    loss, codes = adapter_loss(made, batch(), every, QUERY)
    assert made.centres.values is not None
    deltas = made.adapter.decoder(made.centres.values[made.centres.nearest(codes)])
    query, query_y = to_tensors(batch().query, batch().query_labels)
    wanted = F.cross_entropy(made.model(query.flatten(0, 1), deltas).logits, query_y.flatten())
    torch.testing.assert_close(loss, wanted)


def test_an_adapter_that_reads_samples_gets_samples() -> None:
    world = Angles(shape=(1, 2, 2), tasks=3, support=5, query=7)
    made = learner(world)
    drawn = world.sample(np.random.default_rng(0))
    support, _ = to_tensors(drawn.support, drawn.support_labels)
    codes, logits = made.see(support)
    torch.testing.assert_close(codes, made.adapter.codes(support))
    torch.testing.assert_close(logits, made.model(support.flatten(0, 1)).logits)


@pytest.mark.parametrize(
    ("samples", "labels", "wanted"),
    [
        (np.float64, np.int64, (torch.float32, torch.int64)),
        (np.float16, np.uint8, (torch.float32, torch.int64)),
        (np.int64, np.bool_, (torch.int64, torch.int64)),
        (np.float32, np.float64, (torch.float32, torch.float32)),
    ],
)
def test_arrays_become_tensors_that_modules_and_losses_take(
    samples: type[np.generic], labels: type[np.generic], wanted: tuple[torch.dtype, torch.dtype]
) -> None:
    x, y = to_tensors(np.ones((3, 4), samples)[:, ::2], np.ones(3, labels)[::-1])
    assert (x.dtype, y.dtype) == wanted
    assert (x.shape, y.shape) == ((3, 2), (3,))


def along(*degrees: float) -> Tensor:
    """Return codes (B, 1, 2) of different lengths that point somewhere."""
    angles = torch.tensor(degrees).deg2rad()
    lengths = torch.arange(1.0, len(degrees) + 1)[:, None]
    return (lengths * torch.stack([angles.cos(), angles.sin()], dim=1)).unsqueeze(1)


@pytest.mark.parametrize(
    ("degrees", "wanted"),
    [((20, 20, 20), 1.0), ((0, 180), 1.0), ((10, 100), 0.0), ((0, 60), 0.25), ((0, 60, 90), (0.25 + 0 + 0.75) / 3)],
)
def test_likeness_is_the_mean_squared_cosine_of_pairs(degrees: tuple[float, ...], wanted: float) -> None:
    assert float(likeness(along(*degrees))) == pytest.approx(wanted, abs=1e-6)


def test_codes_of_even_directions_have_the_least_likeness() -> None:
    codes = torch.randn(600, 2, 3, generator=torch.Generator().manual_seed(0))
    assert float(likeness(codes)) == pytest.approx(1 / 6, rel=0.05)


def test_the_loss_keeps_codes_apart_where_there_are_several() -> None:
    made = learner()
    plain, codes = adapter_loss(made, batch(), ONLY_TASK, QUERY)
    spread = adapter_loss(made, batch(), replace(ONLY_TASK, spread=3.0), QUERY)[0]
    torch.testing.assert_close(spread, plain + 3 * likeness(codes))
    alone = Angles(tasks=1, support=5, query=7).sample(np.random.default_rng(0))
    losses = [adapter_loss(made, alone, replace(ONLY_TASK, spread=s), QUERY)[0] for s in (0.0, 3.0)]
    assert torch.equal(*losses)


def test_a_share_of_the_edits_is_of_partial_strength() -> None:
    assert draw_strengths(3, 0.0, np.random.default_rng(0)) is None
    found = draw_strengths(4000, 0.25, np.random.default_rng(0))
    assert found is not None
    assert (found.dtype, found.shape) == (torch.float32, (4000,))
    partial = found[found < 1]
    assert len(partial) / 4000 == pytest.approx(0.25, abs=0.03)
    assert float(partial.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(partial.min()) >= 0


def test_the_loss_runs_edits_at_their_strengths() -> None:
    """Every roll is 0.9 of a share of 0.95: the query is another window, and every edit has strength 0.9."""
    made = learner()
    found, codes = adapter_loss(made, batch(), replace(ONLY_TASK, partial_share=0.95), QUERY)
    query, query_y = to_tensors(batch().query, batch().query_labels)
    deltas = {name: 0.9 * delta for name, delta in made.adapter.decoder(codes).items()}
    wanted = F.cross_entropy(made.model(query.flatten(0, 1), deltas).logits, query_y.flatten())
    torch.testing.assert_close(found, wanted)


def test_codes_say_an_edit_of_any_strength() -> None:
    made = learner()
    codes = adapter_loss(made, batch(), ONLY_TASK, QUERY)[1]
    whole, found = made.learned(codes), made.learned(codes, torch.tensor([0.0, 0.25, 1.0]))
    assert found.keys() == whole.keys() == set(made.model.spec.names)
    for name, delta in made.adapter.decoder(codes).items():
        assert torch.equal(whole[name], delta)
        assert not found[name][0].any()
        torch.testing.assert_close(found[name][1:], torch.stack([0.25 * delta[1], delta[2]]))


def test_a_blind_learner_has_one_code_for_everybody() -> None:
    made = replace(learner(), blind=True)
    support, _ = to_tensors(batch().support, batch().support_labels)
    codes = made.see(support).codes
    assert torch.equal(codes, made.adapter.codes(torch.zeros(3, made.model.n_features)))
    sighted = replace(made, blind=False).see(support).codes
    assert not torch.allclose(sighted[0], sighted[1])
