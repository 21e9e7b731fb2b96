"""ARM-BN: each window is normalised by itself, as batch normalisation in training does it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from persona.baselines.arm_bn import ArmBn, ArmBnMethod
from persona.errors import DataError, SpecError
from tests.baselines.peers import lived_in

X = torch.rand(2, 6, 1, 28, 28, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_each_window_is_as_in_training_alone() -> None:
    net = lived_in("bn")
    logits = ArmBn(net).eval()(X)
    for window, found in zip(X, logits, strict=True):
        torch.testing.assert_close(found, copy.deepcopy(net).train()(window))


@torch.no_grad()
def test_dropout_is_for_training_alone() -> None:
    arm = ArmBn(nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(784, 2))).eval()
    assert torch.equal(arm(X), arm(X))
    assert not torch.equal(arm.train()(X), arm(X))


@torch.no_grad()
def test_between_windows_the_last_ones_statistics_hold() -> None:
    net = lived_in("bn")
    arm = ArmBn(net)
    arm(X)  # training leaves statistics of its own, which no device starts with
    method = ArmBnMethod(arm, net)
    torch.testing.assert_close(method.answer(X[0]), net(X[0]))
    logits = method.step(X[0])
    torch.testing.assert_close(logits, copy.deepcopy(net).train()(X[0]))
    kept = method.answer(X[1])
    torch.testing.assert_close(method.answer(X[1]), kept)
    assert not torch.allclose(kept, net(X[1]))
    # The kept variance is the unbiased one: over 28 · 28 / 16 pixels or more of six pictures nearly the same.
    torch.testing.assert_close(method.answer(X[0]), logits, atol=0.02, rtol=0.02)


def test_devices_do_not_share_statistics() -> None:
    net = lived_in("bn")
    arm = ArmBn(net)
    one, other = ArmBnMethod(arm, net), ArmBnMethod(arm, net)
    one.step(X[0])
    torch.testing.assert_close(other.answer(X[1]), net(X[1]))


def test_a_bad_window_leaves_no_trace() -> None:
    net = lived_in("bn")
    method = ArmBnMethod(ArmBn(net), net)
    for bad in (X[0] * torch.nan, X[0][:0]):
        with pytest.raises(DataError):
            method.step(bad)
    torch.testing.assert_close(method.answer(X[1]), net(X[1]))


@pytest.mark.parametrize("x", [torch.zeros(1, 1, 28, 28), torch.ones(4, 1, 28, 28)], ids=["one black", "all white"])
def test_constant_windows_are_answered(x: torch.Tensor) -> None:
    net = lived_in("bn")
    method = ArmBnMethod(ArmBn(net), net)
    assert torch.isfinite(method.step(x)).all()
    assert torch.isfinite(method.answer(X[0])).all()


def test_a_net_without_batch_normalisation_and_a_foreign_source_are_refused() -> None:
    with pytest.raises(SpecError, match="has none"):
        ArmBn(lived_in("gn"))
    with pytest.raises(SpecError, match=r"lacks it"):
        ArmBnMethod(ArmBn(lived_in("bn")), lived_in("gn"))
