"""The training loops, on worlds with a known answer."""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from persona.errors import TrainingError
from persona.training import AdapterConfig, History, Learner, LossWeights, Schedule, train_adapter, train_base
from persona.training.evaluate import Scores, sample_many, score
from persona.training.loop import CALIBRATION_WINDOWS, SMALLEST_SCALE, eigenvalue_shares, start_learner
from persona.training.step import to_tensors
from tests.training.known import Angles, Broken

SIGN, CIRCLE, PICTURES = Angles(2), Angles(64), Angles(2, shape=(1, 2, 2))
SHORT = Schedule(steps=8, learning_rate=1e-2)


@cache
def trained(
    world: Angles, base: str = "joint", steps: int = 200, spread: float = LossWeights.spread
) -> tuple[Learner, History, nn.Module]:
    net = world.net()
    train_base(net, world, Schedule(steps=60, learning_rate=2e-2))
    model = world.model(net)
    config = AdapterConfig(Schedule(steps, 2e-2), base, weights=LossWeights(spread=spread))  # type: ignore[arg-type]
    learner, history = train_adapter(model, world.adapter(model), world, config)
    return learner, history, net


def scores(learner: Learner, net: nn.Module, world: Angles) -> Scores:
    return score(learner, net, sample_many(world, 200, np.random.default_rng(99)))


@pytest.mark.parametrize("base", ["joint", "frozen"])
@pytest.mark.parametrize("world", [SIGN, CIRCLE], ids=["sign", "circle"])
def test_the_adapter_finds_what_no_unedited_model_can(world: Angles, base: str) -> None:
    learner, history, net = trained(world, base)
    found = scores(learner, net, world)
    assert found.adapted_causal > 0.9
    for blind in (found.static, found.base, found.mean_edit, found.shuffled_edit):
        assert 0.4 < blind < 0.6
    assert not history.collapsed
    assert history.losses[-1] < history.losses[0]


@pytest.mark.parametrize("world", [SIGN, CIRCLE], ids=["sign", "circle"])
def test_codes_that_are_not_kept_apart_collapse_to_what_the_world_needs(world: Angles) -> None:
    """One sign needs one direction only; a circle needs two."""
    _, history, _ = trained(world, spread=0.0)
    assert history.collapsed == (world is SIGN)
    assert sum(history.code_shares[:2]) > 0.9


def test_an_adapter_that_reads_samples_finds_it_too() -> None:
    learner, _, net = trained(PICTURES, "frozen", steps=120)
    assert scores(learner, net, PICTURES).adapted_causal > 0.9


def test_prototypes_are_trained_for() -> None:
    learner, _, _ = trained(CIRCLE)
    batch = sample_many(CIRCLE, 200, np.random.default_rng(98))
    (support, _), (query, labels) = (
        to_tensors(batch.support, batch.support_labels),
        to_tensors(batch.query, batch.query_labels),
    )
    with torch.no_grad():
        values, nearest = learner.centres.values, learner.centres.nearest(learner.see(support).codes)
        assert values is not None
        logits = learner.model(query.flatten(0, 1), learner.adapter.decoder(values[nearest])).logits
    assert float((logits.argmax(dim=1) == labels.flatten()).float().mean()) > 0.85


def test_a_frozen_base_keeps_every_bit_and_a_joint_one_does_not() -> None:
    for base in ("frozen", "joint"):
        model = SIGN.model()
        before = copy.deepcopy(model.state_dict())
        train_adapter(model, SIGN.adapter(model), SIGN, AdapterConfig(SHORT, base))  # type: ignore[arg-type]
        same = [torch.equal(value, before[name]) for name, value in model.state_dict().items()]
        assert all(same) if base == "frozen" else not any(same)
        assert all(parameter.requires_grad for parameter in model.parameters())
        if base == "frozen":
            assert all(parameter.grad is None for parameter in model.parameters())


def test_what_a_user_froze_stays_frozen() -> None:
    net = SIGN.net()
    net[1].weight.requires_grad_(False)
    model = SIGN.model(net)
    before = net[1].weight.clone()
    for base in ("joint", "frozen"):
        train_adapter(model, SIGN.adapter(model), SIGN, AdapterConfig(SHORT, base))  # type: ignore[arg-type]
        assert torch.equal(model.module[1].weight, before)
        assert [p.requires_grad for p in model.parameters()] == [False, True, True, True]


def test_running_statistics_stay_while_an_adapter_is_trained() -> None:
    class Pictures(Angles):
        def net(self) -> nn.Module:
            return nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(4, 2)).train()

    world = Pictures(shape=(1, 2, 2))
    model = world.model()
    train_adapter(model, world.adapter(model), world, AdapterConfig(SHORT))
    assert torch.equal(model.module[0].running_mean, torch.zeros(1))
    assert int(model.module[0].num_batches_tracked) == 0


def test_the_same_seed_gives_the_same_losses() -> None:
    def losses(seed: int) -> list[float]:
        net = nn.Sequential(SIGN.net(), nn.Dropout(0.5))
        schedule = Schedule(steps=8, seed=seed)
        plain = train_base(net, SIGN, schedule).losses
        model = SIGN.model()
        return plain + train_adapter(model, SIGN.adapter(model), SIGN, AdapterConfig(schedule))[1].losses

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)


def test_training_rolls_dice_of_its_own() -> None:
    model = SIGN.model()
    adapter = SIGN.adapter(model)
    torch.manual_seed(7)
    wanted = torch.rand(1)
    torch.manual_seed(7)
    train_adapter(model, adapter, SIGN, AdapterConfig(SHORT))
    train_base(model.module, SIGN, SHORT)
    assert torch.equal(torch.rand(1), wanted)


def test_data_that_is_not_finite_is_named_with_its_step() -> None:
    with pytest.raises(TrainingError, match="the loss is nan at step 3; check the data, or lower the learning rate"):
        train_base(SIGN.net(), Broken(SIGN, 3, []), SHORT)
    calibration = CALIBRATION_WINDOWS // SIGN.tasks
    model = SIGN.model()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(TrainingError, match="the loss is nan at step 2;"):
        train_adapter(model, SIGN.adapter(model), Broken(SIGN, calibration + 2, []), AdapterConfig(SHORT, "frozen"))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (AdapterConfig(Schedule(steps=0)), "training for 0 steps does nothing"),
        (AdapterConfig(SHORT, base="jiont"), "base 'jiont' is unknown; wanted joint or frozen"),  # type: ignore[arg-type]
        (AdapterConfig(SHORT, prototypes=0), "0 prototypes cannot stand for anything"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(config: AdapterConfig, message: str) -> None:
    model = SIGN.model()
    with pytest.raises(TrainingError, match=message):
        train_adapter(model, SIGN.adapter(model), SIGN, config)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 6, 10])
def test_schedules_of_any_length_run_and_report_each_step(steps: int) -> None:
    told: list[tuple[int, int, float]] = []
    history = train_base(SIGN.net(), SIGN, Schedule(steps), lambda *step: told.append(step))
    assert told == [(step + 1, steps, loss) for step, loss in enumerate(history.losses)]
    assert len(history.losses) == steps


def test_a_base_is_trained_in_training_mode_by_the_loss_given() -> None:
    net, modes = SIGN.net().eval(), []

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        modes.append(net.training)
        assert len(logits) == len(labels) == SIGN.tasks * (SIGN.support + SIGN.query)
        return logits.square().mean()

    history = train_base(net, SIGN, Schedule(steps=40, learning_rate=2e-2), loss=loss)
    assert all(modes)
    assert not net.training
    assert history.losses[-1] < 0.1 * history.losses[0]
    assert not history.collapsed


def test_sketches_are_standardised_over_windows_of_the_base() -> None:
    model = CIRCLE.model()
    learner = start_learner(model, CIRCLE.adapter(model), CIRCLE, 4, np.random.default_rng(0))
    batch = sample_many(CIRCLE, 400, np.random.default_rng(1))
    support, _ = to_tensors(batch.support, batch.support_labels)
    with torch.no_grad():
        logits, moments = model(support.flatten(0, 1))
        features = learner.features(moments, logits, len(support))
    alive = learner.scale > SMALLEST_SCALE
    assert features.mean(dim=0).abs().max() < 0.3
    assert (features.std(dim=0)[alive] - 1).abs().max() < 0.3


def test_known_shares_of_known_codes() -> None:
    axes = torch.tensor([[3.0, 0, 0], [-3.0, 0, 0], [0, 1.0, 0], [0, -1.0, 0]]) + 5
    assert eigenvalue_shares(axes) == pytest.approx([0.9, 0.1, 0])
    turned = axes @ torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    assert eigenvalue_shares(turned) == pytest.approx([0.9, 0.1, 0], abs=1e-6)


@pytest.mark.parametrize("count", [1, 50])
def test_codes_that_are_all_the_same_are_the_worst_collapse(count: int) -> None:
    shares = eigenvalue_shares(torch.full((count, 4), 0.7) + 1e-6 * torch.randn(count, 4))
    assert shares == [1, 0, 0, 0]
    assert History(code_shares=shares).collapsed


def test_a_collapse_is_told_from_the_first_share() -> None:
    assert History(code_shares=[0.71, 0.29]).collapsed
    assert not History(code_shares=[0.69, 0.31]).collapsed
    assert not History().collapsed
