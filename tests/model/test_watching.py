"""Looking into a forward pass."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from persona.model.watching import in_eval_mode, watching


def seen_by(net: nn.Module, names: list[str], x: Tensor) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}
    with watching(net, names, seen.__setitem__):
        net(x)
    return seen


def test_each_module_is_seen_once_with_its_first_input() -> None:
    act = nn.ReLU()
    seen = seen_by(nn.Sequential(nn.Linear(2, 2), act, nn.Flatten(), act), ["2", "1", "0"], torch.ones(3, 2))
    assert list(seen) == ["0", "1", "2"]
    assert torch.equal(seen["0"], torch.ones(3, 2))


def test_inputs_by_name_and_inputs_that_are_no_tensors() -> None:
    class Inner(nn.Module):
        def forward(self, scale: float, x: Tensor | None = None) -> Tensor:
            return torch.zeros(1) if x is None else scale * x

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.numbers, self.named = Inner(), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.named(input=self.numbers(2.0, x))
            return out

    assert list(seen_by(Outer(), ["numbers", "named"], torch.ones(2))) == ["named"]


def test_nobody_watches_afterwards_even_where_the_pass_fails() -> None:
    net = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), watching(net, ["0"], lambda *_: None):
        net(torch.ones(3, 5))
    assert not net[0]._forward_pre_hooks


def test_every_module_gets_its_own_mode_back() -> None:
    net = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()))
    net[1].eval()
    with in_eval_mode(net):
        assert not any(child.training for child in net.modules())
    assert [child.training for child in net.modules()] == [True, True, False, False]
