"""LAME: the answer solves the paper's equation, lowers its objective, and follows the crowd of each cluster."""

from __future__ import annotations

import torch

from persona.baselines.lame import Lame, affinity, assign
from tests.baselines.flat import flat_net, pictures


def test_neighbours_by_hand() -> None:
    # At 0, 10, 30 and 90 degrees, one neighbour each: 0 ↔ 10, 30 → 10, 90 → 30.
    angles = torch.tensor([0.0, 10.0, 30.0, 90.0]).deg2rad()
    near = affinity(torch.stack([angles.cos(), angles.sin()], dim=1), 1)
    wanted = torch.tensor([[0, 1, 0, 0], [1, 0, 0.5, 0], [0, 0.5, 0, 0.5], [0, 0, 0.5, 0]])
    torch.testing.assert_close(near, wanted)


def test_the_answer_is_the_fixed_point() -> None:
    dice = torch.Generator().manual_seed(3)
    logits, features = torch.randn(12, 4, generator=dice), torch.randn(12, 6, generator=dice)
    near = affinity(features, 3)
    z = assign(logits, near).exp()
    again = logits.softmax(1) * (near @ z).exp()
    torch.testing.assert_close(z, again / again.sum(1, keepdim=True), atol=1e-4, rtol=0)


def test_the_answer_is_where_the_objective_is_flat() -> None:
    dice = torch.Generator().manual_seed(4)
    logits, near = torch.randn(8, 3, generator=dice), affinity(torch.randn(8, 5, generator=dice), 2)

    def objective(free: torch.Tensor) -> torch.Tensor:
        logs = free.log_softmax(1)
        z = logs.exp()
        return (z * (logs - logits.log_softmax(1))).sum() - (near * (z @ z.T)).sum() / 2

    found = assign(logits, near).requires_grad_()
    value = objective(found)
    (slope,) = torch.autograd.grad(value, found)
    assert slope.abs().max() < 1e-4
    assert value < objective(logits)


def test_an_outlier_follows_its_cluster() -> None:
    # Five features to the right and five up; the head takes one of each cluster for the other's.
    right = [[5.0, 0.1 * i, 1.0 if i < 4 else -0.5] for i in range(5)]
    up = [[0.1 * i, 5.0, -1.0 if i < 4 else 0.5] for i in range(5)]
    net = flat_net([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])  # it reads the third number alone
    x = pictures(right + up)
    plain = net(x).argmax(1).tolist()
    assert plain == [0, 0, 0, 0, 1, 1, 1, 1, 1, 0]
    method = Lame(net, 0, neighbours=4)
    assert method.step(x).argmax(1).tolist() == [0] * 5 + [1] * 5
    assert method.answer(x).argmax(1).tolist() == plain


def test_one_sample_has_no_neighbours() -> None:
    net = flat_net([[1.0, 0.0], [0.0, 1.0]])
    x = pictures([[2.0, 1.0]])
    torch.testing.assert_close(Lame(net, 0).step(x), net(x).log_softmax(1))
