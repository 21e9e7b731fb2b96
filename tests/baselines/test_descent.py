"""Careful steps: what is learned, what is left out, and looks at pictures."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from persona.baselines.augment import augment
from persona.baselines.descent import cross_entropy, descend, entropy, follow, gradient, learn_only
from persona.baselines.norms import affine_parameters
from tests.baselines.peers import lived_in, window


def test_entropy_is_that_of_the_distribution() -> None:
    torch.manual_seed(0)
    logits = 3 * torch.randn(6, 5)
    torch.testing.assert_close(entropy(logits), torch.distributions.Categorical(logits=logits).entropy())
    assert entropy(torch.tensor([[1e6, 0.0, -1e6]])).item() == 0
    assert entropy(torch.zeros(1, 8)).item() == pytest.approx(math.log(8))


def test_cross_entropy_is_torchs() -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(6, 5), torch.randn(6, 5).softmax(1)
    expected = nn.functional.cross_entropy(logits, target, reduction="none")
    torch.testing.assert_close(cross_entropy(target, logits), expected)


def test_a_gradient_that_is_not_finite_moves_nothing() -> None:
    weight = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    loss = weight.sqrt().sum()  # an infinite slope at zero
    descend(optimizer, loss, [weight])
    assert weight.tolist() == [0, 0]
    assert gradient(weight.sqrt().sum(), [weight]) is None
    descend(optimizer, weight.sum(), [weight])
    assert weight.tolist() == [-1, -1]


def test_following_goes_a_share_of_the_way() -> None:
    moving = [torch.tensor([0.0, 4.0])]
    follow(moving, [torch.tensor([8.0, 0.0])], 0.25)
    assert moving[0].tolist() == [2, 3]


@pytest.mark.parametrize("size", [8, 1])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_group_norm_behind_a_frozen_layer_has_the_right_gradient(layout: torch.memory_format, size: int) -> None:
    net, plain = lived_in("gn").to(memory_format=layout), lived_in("gn").to(memory_format=torch.contiguous_format)
    x, learned = window(size=size), affine_parameters(net)
    learn_only(net, learned)
    found = gradient(entropy(net(x)).mean(), learned)
    entropy(plain(x)).mean().backward()
    assert found is not None
    torch.testing.assert_close(found, [p.grad for p in affine_parameters(plain)])
    assert [p.requires_grad for p in net.parameters()] == [any(p is q for q in learned) for p in net.parameters()]


@pytest.mark.parametrize("shape", [(6, 1, 8, 8), (6, 3, 9, 5), (1, 1, 1, 1)])
def test_looks_stay_in_range_and_follow_the_dice(shape: tuple[int, ...]) -> None:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 3 - 1
    looks = [augment(x, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(looks[0], looks[1])
    assert looks[0].shape == x.shape
    assert looks[2].min() >= x.min()
    assert looks[2].max() <= x.max()
    if x.numel() > 1:
        assert not torch.equal(looks[0], looks[2])
        assert 0 < (looks[0] - x).abs().mean() < 0.5 * (x.max() - x.min())


def test_each_picture_gets_a_look_of_its_own() -> None:
    alike = window(1, 3).expand(4, -1, -1, -1).clone()
    looks = augment(alike, torch.Generator().manual_seed(0))
    assert all(not torch.equal(looks[0], look) for look in looks[1:])


def test_a_constant_picture_has_no_other_look() -> None:
    x = torch.full((3, 1, 8, 8), 0.25)
    torch.testing.assert_close(augment(x, torch.Generator().manual_seed(0)), x)
