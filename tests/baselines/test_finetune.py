"""Labelled fine-tuning: a step is autograd's, labels come after the answer, and divergence ends at the start."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from persona.baselines.finetune import DECAY, FineTune
from persona.errors import DataError, SpecError
from tests.baselines.flat import flat_net, pictures
from tests.baselines.peers import lived_in

HEAD = ([[1.0, -0.5], [0.2, 0.7], [-0.3, 0.1]], [0.1, 0.0, -0.2])
X, Y = pictures([[1.0, 2.0], [-1.0, 0.5], [0.3, -2.0]]), torch.tensor([2, 0, 1])


def test_one_step_is_that_of_autograd() -> None:
    rate = 0.05
    net = flat_net(*HEAD)
    method = FineTune(net, 0, rate=rate, steps=1)
    method.reveal(X, Y)
    weight, bias = (p.detach().clone().requires_grad_() for p in net.parameters())
    loss = F.cross_entropy(X.flatten(1) @ weight.T + bias, Y)
    # AdamW's first step: decay, then the rate times the sign of the gradient, softened by ε = 1e-8.
    new = [
        p.detach() * (1 - rate * DECAY) - rate * g / (g.abs() + 1e-8)
        for p, g in zip((weight, bias), torch.autograd.grad(loss, (weight, bias)), strict=True)
    ]
    torch.testing.assert_close(method.answer(X), X.flatten(1) @ new[0].T + new[1])


def test_a_window_is_answered_before_its_labels_are_known() -> None:
    net = flat_net(*HEAD)
    method = FineTune(net, 0, rate=0.1, steps=20)
    torch.testing.assert_close(method.step(X), net(X))
    torch.testing.assert_close(method.step(X), net(X))
    method.reveal(X, Y)
    assert method.step(X).argmax(1).tolist() == Y.tolist()
    assert net(X).argmax(1).tolist() != Y.tolist()


def test_old_windows_are_forgotten() -> None:
    long, short = (FineTune(flat_net(*HEAD), 0, rate=0.1, steps=1, replay=n) for n in (2, 1))
    for method in (long, short):
        method.reveal(X, Y)
        method.reveal(-X, Y)
    assert not torch.equal(long.answer(X), short.answer(X))
    assert len(long._windows) == 2
    assert len(short._windows) == 1


@pytest.mark.parametrize("scope", ["all", "norms+head"])
def test_the_scope_alone_moves(scope: str) -> None:
    net = lived_in("bn")
    method = FineTune(net, 0, scope=scope)  # type: ignore[arg-type]
    method.reveal(torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 4)
    then = net.state_dict()
    moved = {name for name, value in method._net.state_dict().items() if not torch.equal(value, then[name])}
    everything = {name for name, _ in net.named_parameters()}
    assert moved == {n for n in everything if scope == "all" or n.startswith(("norm", "head"))}


@pytest.mark.parametrize("labels", [torch.tensor([0, 1, 3]), torch.tensor([0, -1, 2]), torch.tensor([0, 1])])
def test_labels_that_cannot_be_are_refused(labels: torch.Tensor) -> None:
    net = flat_net(*HEAD)
    method, other = FineTune(net, 0), FineTune(net, 0)
    with pytest.raises(DataError, match="labels"):
        method.reveal(X, labels)
    for each in (method, other):
        each.reveal(X, Y)
    torch.testing.assert_close(method.answer(X), other.answer(X))


def test_a_bad_window_leaves_no_trace() -> None:
    net = flat_net(*HEAD)
    method = FineTune(net, 0)
    for bad in (X * torch.nan, X[:0]):
        with pytest.raises(DataError):
            method.reveal(bad, Y[: len(bad)])
    torch.testing.assert_close(method.answer(X), net(X))


def test_where_learning_diverges_the_device_starts_again() -> None:
    net = lived_in("bn")
    method = FineTune(net, 0, rate=1e30, steps=8)
    x = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    method.reveal(x, torch.arange(4))
    torch.testing.assert_close(method.answer(x), net(x))


def test_an_unknown_scope_is_refused() -> None:
    with pytest.raises(SpecError, match="'head'"):
        FineTune(nn.Linear(2, 2), 0, scope="head")  # type: ignore[arg-type]
