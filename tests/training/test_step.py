"""One training step: which windows it learns from, what its loss is made of, and where its gradient goes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from persona.model import raw_features, standardise
from persona.tasks.base import EpisodeBatch
from persona.training import Learner, LossWeights
from persona.training.centres import Centres
from persona.training.step import adapter_loss, relative_size, to_tensors
from tests.adapters.building import trained
from tests.training.known import Angles

WORLD = Angles(tasks=3, support=5, query=7)
ONLY_TASK = LossWeights(unedited=0.0, prototype_share=0.0, size=0.0)


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
    both = LossWeights(unedited=0.5, prototype_share=0.0, size=0.0)
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
    sized = adapter_loss(made, batch(), LossWeights(unedited=0.0, prototype_share=0.0, size=2.0), QUERY)[0]
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
    every = LossWeights(unedited=0.0, prototype_share=1.0, size=0.0)
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
    codes, logits, _ = made.see(support)
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
