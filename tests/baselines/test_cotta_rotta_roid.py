"""CoTTA, RoTTA and ROID against updates that are worked out by other means."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from persona.baselines.augment import augment
from persona.baselines.cotta import Cotta
from persona.baselines.memory import Memory
from persona.baselines.roid import Roid, likelihood_ratio, sample_weights, smoothed_prior, symmetric_cross_entropy
from persona.baselines.rotta import Rotta
from persona.errors import DataError
from tests.baselines.peers import lived_in, parameters_behind, pixels, plain_net, window


@pytest.mark.parametrize(("restore", "momentum"), [(0.0, 0.9), (1.0, 0.9), (1.0, 0.0), (0.0, 0.0)])
def test_cotta_follows_a_student_that_learns_from_averaged_looks(restore: float, momentum: float) -> None:
    method = Cotta(plain_net(), 7, rate=0.1, momentum=momentum, augmentations=3, restore=restore)
    student, teacher, dice = plain_net(), plain_net(), torch.Generator().manual_seed(7)
    source = [p.detach().clone() for p in plain_net().parameters()]
    optimizer = torch.optim.Adam(student.parameters(), lr=0.1)
    for seed in range(3):
        x = pixels(8, seed)
        with torch.no_grad():
            target = torch.stack([teacher(augment(x, dice)).softmax(1) for _ in range(3)]).mean(0)
        torch.testing.assert_close(method.step(x).exp(), target)
        optimizer.zero_grad()
        nn.functional.cross_entropy(student(x), target).backward()
        optimizer.step()
        with torch.no_grad():
            for slow, quick, old in zip(teacher.parameters(), student.parameters(), source, strict=True):
                slow.copy_(momentum * slow + (1 - momentum) * quick)
                if restore == 1:
                    quick.copy_(old)
                    torch.rand(old.shape, generator=dice)
    torch.testing.assert_close(method.answer(pixels()), teacher(pixels()).detach(), rtol=1e-4, atol=1e-5)


def test_cotta_takes_the_plain_look_where_the_source_is_sure() -> None:
    x, sure = pixels(), plain_net(50)
    assert sure(x).softmax(1).amax(1).mean() > 0.92
    torch.testing.assert_close(Cotta(sure, 0).step(x), sure(x).detach().log_softmax(1))
    unsure = plain_net()
    assert not torch.allclose(Cotta(unsure, 0).step(x), unsure(x).detach().log_softmax(1), atol=1e-3)


def sample(number: float = 0.0) -> Tensor:
    return torch.full((4, 1, 1), number)


def test_the_memory_is_balanced_whatever_comes() -> None:
    memory = Memory(8, 4)
    for number in range(30):
        memory.add(sample(number), 0, 0.1)
    assert Counter(kept.label for kept in memory.kept) == {0: 2}
    for label in (1, 1, 1, 2, 2, 3, 3, 3):
        memory.add(sample(), label, 0.1)
    assert Counter(kept.label for kept in memory.kept) == {0: 2, 1: 2, 2: 2, 3: 2}


def test_a_full_memory_makes_room_in_its_largest_class() -> None:
    memory = Memory(5, 2)  # room for 2.5 of each, so for three of one of them
    for label in (0, 0, 0, 1, 1):
        memory.add(sample(), label, 0.1)
    memory.add(sample(), 1, 0.0)
    assert Counter(kept.label for kept in memory.kept) == {0: 2, 1: 3}


def test_what_is_old_or_uncertain_goes_first() -> None:
    memory = Memory(4, 2)
    memory.add(sample(1), 0, 0.6)
    memory.add(sample(2), 0, 0.1)
    memory.add(sample(3), 0, 0.3)  # in place of the least certain
    assert [kept.x.flatten()[0].item() for kept in memory.kept] == [2, 3]
    memory.add(sample(4), 0, 0.69)  # less certain than all there is, and not young enough to make up for it
    assert [kept.x.flatten()[0].item() for kept in memory.kept] == [2, 3]
    for _ in range(40):
        memory.add(sample(0), 1, 0.0)
    memory.add(sample(5), 0, 0.31)  # as certain, and younger
    assert [kept.x.flatten()[0].item() for kept in memory.kept if kept.label == 0] == [2, 5]


def test_worth_and_weight_by_the_formulas() -> None:
    memory = Memory(4, 2)
    memory.add(sample(1), 0, 0.5)
    memory.add(sample(2), 1, 0.2)
    assert [kept.age for kept in memory.kept] == [2, 1]
    assert memory.burden(memory.kept[0]) == pytest.approx(1 / (1 + math.exp(-0.5)) + 0.5 / math.log(2))
    x, weights = memory.samples()
    assert x[:, 0, 0, 0].tolist() == [1, 2]
    expected = [math.exp(-0.5) / (1 + math.exp(-0.5)), math.exp(-0.25) / (1 + math.exp(-0.25))]
    assert weights.tolist() == pytest.approx(expected)


def test_a_stream_has_one_size_of_pictures() -> None:
    method = Rotta(lived_in("bn"), 0, every=16)
    method.step(window(10, 1))
    before = method.answer(window(10, 1))
    with pytest.raises(DataError, match=r"samples of shape \(1, 9, 9\), the memory those of \(1, 8, 8\)"):
        method.step(window(10, 2, size=9))
    assert torch.equal(method.answer(window(10, 1)), before)
    method.step(window(10, 2))


def batch_normed() -> nn.Module:
    return nn.Sequential(nn.BatchNorm2d(4, eps=1e-12), nn.Flatten()).eval()


def test_rotta_moves_its_statistics_by_a_share_of_its_memorys() -> None:
    method = Rotta(batch_normed(), 0, every=8, share=0.2, rate=0.0)
    x, other = pixels(8, 1) * 3 + 1, pixels(4, 2)
    assert torch.equal(method.step(x), x.flatten(1))  # the source's statistics are 0 and 1
    flat = x.flatten(1)  # eight samples of four classes, none of which has sixteen: the memory holds them all
    mean, variance = 0.2 * flat.mean(0), 0.8 + 0.2 * flat.var(0, correction=0)
    torch.testing.assert_close(method.answer(other), (other.flatten(1) - mean) / variance.sqrt())


def test_rotta_learns_when_enough_samples_have_come() -> None:
    method = Rotta(batch_normed(), 0, every=16, share=0.2)
    first = method.step(pixels(10, 1))
    assert torch.equal(method.answer(pixels(10, 1)), first)
    method.step(pixels(10, 2))
    assert not torch.equal(method.answer(pixels(10, 1)), first)


def test_rottas_teacher_takes_on_a_thousandth_of_the_student() -> None:
    x = pixels(8, 1)
    method = Rotta(plain_net(), 5, every=8, rate=10.0)
    method.step(x)
    student = plain_net()
    loss = nn.functional.cross_entropy(
        student(augment(x, torch.Generator().manual_seed(5))), student(x).detach().softmax(1), reduction="none"
    )
    ages = torch.arange(8, 0, -1) / 64
    (loss * torch.sigmoid(-ages)).mean().backward()
    torch.optim.Adam(student.parameters(), lr=10.0).step()
    expected = [p.detach() + 0.001 * (q.detach() - p.detach())
                for p, q in zip(plain_net().parameters(), student.parameters(), strict=True)]  # fmt: skip
    for found, value in zip(parameters_behind(method.answer(x), x), expected, strict=True):
        torch.testing.assert_close(found, value, rtol=1e-4, atol=1e-4)


def logits_of(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows).log()


def test_roids_losses_by_hand() -> None:
    p = logits_of((0.8, 0.2), (0.5, 0.5))
    assert likelihood_ratio(p).tolist() == pytest.approx([-0.6 * math.log(4), 0], abs=1e-6)
    three = likelihood_ratio(logits_of((0.5, 0.3, 0.2)))
    assert three.item() == pytest.approx(-(0.3 * math.log(3 / 7) + 0.2 * math.log(2 / 8)))
    # Beyond the clip the slope goes on along the logits, by 0.99.
    assert likelihood_ratio(torch.tensor([[20.0, 0.0]])).item() == pytest.approx(-0.99 * 20, rel=1e-4)
    q = logits_of((0.4, 0.6), (0.5, 0.5))
    both = -(0.8 * math.log(0.4) + 0.2 * math.log(0.6)) - (0.4 * math.log(0.8) + 0.6 * math.log(0.2))
    assert symmetric_cross_entropy(p, q).tolist() == pytest.approx([both / 2, math.log(2)])


def test_roids_weights_by_hand() -> None:
    average = torch.tensor([0.9, 0.1])
    rows = ((0.9, 0.1), (0.1, 0.9), (0.4, 0.6))
    found = sample_weights(logits_of(*rows), average)
    apart = [1 - (0.9 * a + 0.1 * b) / math.hypot(0.9, 0.1) / math.hypot(a, b) for a, b in rows]
    sure = [a * math.log(a) + b * math.log(b) for a, b in rows]
    diversity = [(d - min(apart)) / (max(apart) - min(apart)) for d in apart]
    certainty = [(s - min(sure)) / (max(sure) - min(sure)) for s in sure]
    mean = sum(diversity) / 3
    by_hand = [0 if d < mean else math.exp(3 * d * c) for d, c in zip(diversity, certainty, strict=True)]
    assert found.tolist() == pytest.approx(by_hand, rel=1e-4)
    assert by_hand[0] == 0
    assert by_hand[1] == pytest.approx(math.exp(3))
    assert sample_weights(logits_of((0.7, 0.3)), average).tolist() == pytest.approx([math.exp(3)])


def test_roids_prior_by_hand() -> None:
    predictions = torch.tensor([[0.9, 0.1], [0.7, 0.3]])  # mean 0.8 and 0.2; γ = 0.5 / 0.8
    assert smoothed_prior(predictions).tolist() == pytest.approx([(0.8 + 0.625) / 2.25, (0.2 + 0.625) / 2.25])


def test_roid_corrects_by_the_windows_prior() -> None:
    x = pixels()
    plain, corrected = Roid(plain_net(), 0, rate=0.0, prior=False), Roid(plain_net(), 0, rate=0.0)
    bias = smoothed_prior(plain_net()(x).detach().softmax(1)).log()
    torch.testing.assert_close(corrected.step(x), plain.step(x) + bias)
    torch.testing.assert_close(corrected.answer(pixels(3, 9)), plain.answer(pixels(3, 9)) + bias)


@pytest.mark.parametrize("momentum", [1.0, 0.75, 0.0])
def test_roid_steps_down_its_loss_and_is_pulled_to_the_source(momentum: float) -> None:
    method, net = Roid(plain_net(), 4, rate=0.1, momentum=momentum, prior=False), plain_net()
    dice, average = torch.Generator().manual_seed(4), torch.full((4,), 0.25)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    for seed in range(2):
        x = pixels(8, seed)
        logits = net(x)
        p = logits.softmax(1)
        weights = sample_weights(logits.detach(), average)
        average = 0.9 * average + 0.1 * p.detach().mean(0)
        counts = weights > 0
        q = net(augment(x[counts], dice)).softmax(1)
        p = p[counts]
        ratio = -(p * (p / (1 - p)).log()).sum(1)
        consistency = -(p * q.log() + q * p.log()).sum(1) / 2
        optimizer.zero_grad()
        ((ratio + consistency) * weights[counts]).sum().div(8).backward()
        optimizer.step()
        with torch.no_grad():
            for value, old in zip(net.parameters(), plain_net().parameters(), strict=True):
                value.copy_(momentum * value + (1 - momentum) * old)
        torch.testing.assert_close(method.step(x), logits.detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(method.answer(pixels()), net(pixels()).detach(), rtol=1e-4, atol=1e-4)
