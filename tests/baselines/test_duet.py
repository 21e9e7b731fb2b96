"""DUET: it starts at the net's own head; once trained, the head is the window's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from persona.baselines.duet import Duet, DuetMethod, apply_head
from persona.errors import SpecError
from tests.baselines.peers import check_no_trace, lived_in

X = torch.rand(2, 6, 1, 28, 28, generator=torch.Generator().manual_seed(1))


def trained() -> Duet:
    """Return the net after its generator's weights have moved."""
    duet = Duet(lived_in("bn")).eval()
    with torch.no_grad():
        duet.generate.weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(2))
    return duet


@torch.no_grad()
def test_it_starts_at_the_nets_own_head() -> None:
    net = lived_in("bn")
    torch.testing.assert_close(Duet(net).eval()(X), torch.stack([net(window) for window in X]), atol=1e-5, rtol=1e-4)


def test_a_head_without_bias_will_do() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 3, bias=False))
    torch.testing.assert_close(Duet(net)(X)[0], net(X[0]), atol=1e-5, rtol=1e-4)


def test_the_first_step_of_training_moves_the_generator() -> None:
    duet = Duet(lived_in("bn")).eval()
    duet(X).square().mean().backward()
    for parameter in (duet.generate.weight, duet.generate.bias):
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0


@torch.no_grad()
def test_the_head_is_the_windows() -> None:
    duet = trained()
    heads = duet.head(duet.look(X))
    assert heads.shape == (2, 4, 65)
    assert not torch.allclose(heads[0], heads[1])
    torch.testing.assert_close(duet.head(duet.look(X[:1])), heads[:1])
    order = torch.tensor([5, 4, 3, 2, 1, 0])
    torch.testing.assert_close(duet.head(duet.look(X[:, order])), heads, atol=1e-5, rtol=1e-4)


def test_a_head_by_hand() -> None:
    features = torch.tensor([[[1.0, 2.0]]])
    head = torch.tensor([[[3.0, 4.0, 5.0], [0.0, -1.0, 0.5]]])
    assert apply_head(features, head).tolist() == [[[16.0, -1.5]]]


@torch.no_grad()
def test_between_windows_the_last_head_holds() -> None:
    duet, net = trained(), lived_in("bn")
    method = DuetMethod(duet)
    torch.testing.assert_close(method.answer(X[1]), net(X[1]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(method.step(X[0]), duet(X[:1])[0])
    wanted = apply_head(duet.look(X[1:]), duet.head(duet.look(X[:1])))[0]
    for _ in range(2):
        torch.testing.assert_close(method.answer(X[1]), wanted)


def test_a_bad_window_leaves_no_trace() -> None:
    check_no_trace(DuetMethod(trained()), X)


def test_a_net_without_a_linear_layer_is_refused() -> None:
    with pytest.raises(SpecError, match="has none"):
        Duet(nn.Conv2d(1, 2, 3))
