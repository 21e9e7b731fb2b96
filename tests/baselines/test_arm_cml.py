"""ARM-CML: it starts as the net given, and reads its window as a set."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from persona.baselines.arm_cml import ArmCml, ArmCmlMethod
from persona.errors import SpecError
from tests.baselines.peers import check_no_trace, lived_in

X = torch.rand(2, 6, 1, 28, 28, generator=torch.Generator().manual_seed(1))


def trained() -> ArmCml:
    """Return the widened net after its new weights have moved."""
    arm = ArmCml(lived_in("gn"))
    stem = arm.net.get_submodule("stem")
    with torch.no_grad():
        stem.weight[:, 1:] = 0.1 * torch.randn(24, 12, 5, 5, generator=torch.Generator().manual_seed(2))
    return arm


@pytest.mark.parametrize("kind", ["bn", "gn"])
@torch.no_grad()
def test_it_starts_as_the_net_given(kind: str) -> None:
    net = lived_in(kind)
    logits = ArmCml(net).eval()(X)
    torch.testing.assert_close(logits, torch.stack([net(window) for window in X]), atol=1e-5, rtol=1e-4)


def test_a_widened_convolution_keeps_its_manners() -> None:
    stem = nn.Conv2d(2, 3, 3, stride=2, padding=2, dilation=2, padding_mode="reflect")
    net = nn.Sequential(stem, nn.Flatten(), nn.Linear(3 * 14 * 14, 2))
    x = torch.rand(1, 4, 2, 28, 28, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(ArmCml(net)(x)[0], net(x[0]))


@torch.no_grad()
def test_the_context_does_not_know_the_order() -> None:
    arm = trained()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(arm.context(X[:, order]), arm.context(X))
    torch.testing.assert_close(arm(X[:, order]), arm(X)[:, order], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_windows_of_a_batch_do_not_meet() -> None:
    arm = trained()
    torch.testing.assert_close(arm(X)[:1], arm(X[:1]), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(arm.predict(X[:1], arm.context(X[1:])), arm(X[:1]))


@torch.no_grad()
def test_between_windows_the_last_context_holds() -> None:
    arm = trained()
    method = ArmCmlMethod(arm)
    empty = torch.zeros(1, 12, 28, 28)
    torch.testing.assert_close(method.answer(X[1]), arm.predict(X[1:], empty)[0])
    torch.testing.assert_close(method.step(X[0]), arm(X[:1])[0])
    for _ in range(2):
        torch.testing.assert_close(method.answer(X[1]), arm.predict(X[1:], arm.context(X[:1]))[0])


def test_a_bad_window_leaves_no_trace() -> None:
    check_no_trace(ArmCmlMethod(trained()), X)


def test_a_net_without_a_convolution_is_refused() -> None:
    with pytest.raises(SpecError, match="first convolution"):
        ArmCml(nn.Linear(2, 2))
