"""The prior's correction in a skewed world whose Bayes answer is known."""

from __future__ import annotations

import math

import pytest
import torch

from persona.baselines.alpha_bn import AlphaBn
from persona.baselines.prior_correction import PriorCorrection
from persona.errors import DataError, SpecError
from persona.prior import PriorState
from tests.baselines.flat import flat_net
from tests.baselines.peers import lived_in

# Two normal classes at −1 and +1 of spread 1: an even world's log odds at x are 2 x, which is what this net says.
NET = flat_net([[-1.0], [1.0]])


def skewed(count: int, share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pictures (count, 1, 1, 1) and labels, a given share of class 1."""
    dice = torch.Generator().manual_seed(5)
    y = (torch.rand(count, generator=dice) < share).long()
    return (torch.randn(count, generator=dice) + 2 * y - 1)[:, None, None, None], y


def test_the_answer_nears_that_of_bayes() -> None:
    x, y = skewed(4000, 0.9)
    logits = PriorCorrection(NET, 0).step(x)
    odds = logits[:, 1] - logits[:, 0] - 2 * x.flatten()
    torch.testing.assert_close(odds, torch.full_like(odds, math.log(9)), atol=0.5, rtol=0)
    bayes = (2 * x.flatten() + math.log(9) > 0).long().eq(y).float().mean()
    right = logits.argmax(1).eq(y).float().mean()
    assert right > NET(x).argmax(1).eq(y).float().mean() + 0.04
    assert abs(right - bayes) < 0.01


def test_the_log_share_is_added_as_far_as_wanted() -> None:
    x, _ = skewed(32, 0.8)
    with torch.no_grad():
        plain = NET(x)
    shares = torch.tensor(PriorState.empty(2).after(plain.numpy()).em)
    for strength in (0.0, 0.5, 1.0):
        wanted = plain + strength * (2 * shares).log().float()
        torch.testing.assert_close(PriorCorrection(NET, 0, strength=strength).step(x), wanted)


def test_the_statistics_are_those_of_alpha_bn() -> None:
    net = lived_in("bn")
    x = torch.rand(16, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    mixed = AlphaBn(net, 0, alpha=0.3).step(x)
    torch.testing.assert_close(PriorCorrection(net, 0, strength=0.0).step(x), mixed)


def test_an_answer_uses_the_prior_and_changes_nothing() -> None:
    x, _ = skewed(32, 0.9)
    method = PriorCorrection(NET, 0)
    torch.testing.assert_close(method.answer(x), NET(x).detach())
    logits = method.step(x)
    for _ in range(2):
        torch.testing.assert_close(method.answer(x), logits)


def test_a_bad_window_leaves_no_trace() -> None:
    x, _ = skewed(32, 0.9)
    method = PriorCorrection(NET, 0)
    logits = method.step(x)
    with pytest.raises(DataError, match="32 of 32"):
        method.step(x * torch.nan)
    torch.testing.assert_close(method.answer(x), logits)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(SpecError, match=r"alpha is 1\.5"):
        PriorCorrection(NET, 0, alpha=1.5)
