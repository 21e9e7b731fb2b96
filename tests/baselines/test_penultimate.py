"""The cut before the head: both halves together are the net, and a net without a head is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from persona.baselines.penultimate import Split
from persona.errors import DataError, SpecError
from tests.baselines.peers import lived_in


class HeadFirst(nn.Module):
    """Registers another layer after the one that gives the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.side = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.side(x[:, :, 0, 0]))
        return logits


def test_both_halves_make_the_net() -> None:
    net = lived_in("bn")
    x = torch.rand(4, 1, 28, 28)
    split = Split(net)
    assert split.features(x).shape == (4, 64)
    torch.testing.assert_close(split.logits(split.features(x)), net(x))
    assert isinstance(net.head, nn.Linear)


def test_a_head_without_bias_has_one_of_zeros() -> None:
    assert torch.equal(Split(nn.Sequential(nn.Flatten(), nn.Linear(2, 3, bias=False))).bias, torch.zeros(3))


def test_a_net_without_a_head_is_refused() -> None:
    with pytest.raises(SpecError, match="this net has none"):
        Split(nn.Conv2d(1, 2, 3))


def test_a_last_layer_that_is_not_the_head_is_refused() -> None:
    with pytest.raises(SpecError, match=r"before 'side' has shape \(5, 3\), the layer reads \(N, 4\)"):
        Split(HeadFirst()).features(torch.rand(5, 4, 1, 1))


def test_other_channels_are_refused() -> None:
    with pytest.raises(DataError, match="channels"):
        Split(lived_in("bn")).features(torch.rand(2, 3, 28, 28))
