"""The wider head: the net as it is at first, as many parameters more as were asked for, and all of them with a say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from persona.baselines.wider_head import WiderHead
from persona.errors import SpecError
from tests.baselines.peers import lived_in, window


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


@pytest.mark.parametrize("kind", ["bn", "gn"])
def test_it_starts_as_the_net(kind: str) -> None:
    net = lived_in(kind)
    wider = WiderHead(net, 2000).eval()
    with torch.no_grad():
        assert torch.equal(wider(window()), net(window()))
    assert wider(window()).shape == (16, 4)


def test_it_has_as_many_parameters_more_as_whole_units_hold() -> None:
    """A hidden unit beside a head of 6 inputs and 3 outputs has 6 weights, a bias and 3 weights: 10."""
    net = two_layers()
    for extra, units in ((10, 1), (19, 1), (20, 2), (1234, 123)):
        assert count(WiderHead(net, extra)) == count(net) + 10 * units


def test_the_hidden_layer_stands_beside_the_last_linear_layer_alone() -> None:
    net = two_layers()
    wider = WiderHead(net, 40)
    assert wider.net[1].weight.equal(net[1].weight)
    x = torch.randn(5, 4)
    hidden = wider.net[3]
    with torch.no_grad():
        hidden.out.weight.fill_(0.5)
        features = net[:3](x)
        more = (features @ hidden.hidden.weight.T + hidden.hidden.bias).clamp(min=0) @ hidden.out.weight.T
        torch.testing.assert_close(wider(x), net(x) + more)
        assert more.abs().max() > 1e-3


def test_every_parameter_learns_and_the_net_given_stays_as_it_is() -> None:
    net = two_layers()
    before = [parameter.clone() for parameter in net.parameters()]
    wider = WiderHead(net, 40)
    optimizer = torch.optim.SGD(wider.parameters(), lr=0.1)
    start = [parameter.clone() for parameter in wider.parameters()]
    dice = torch.Generator().manual_seed(0)
    for _ in range(3):  # the hidden layer has a gradient once what follows it is no longer zero
        optimizer.zero_grad()
        logits = wider(torch.randn(20, 4, generator=dice))
        nn.functional.cross_entropy(logits, torch.randint(3, (20,), generator=dice)).backward()
        optimizer.step()
    assert not any(torch.equal(a, b) for a, b in zip(start, wider.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_too_few_parameters_for_a_unit_are_refused() -> None:
    with pytest.raises(SpecError, match="9 parameters are too few for a hidden unit beside '3'"):
        WiderHead(two_layers(), 9)


def test_a_net_without_a_linear_layer_is_refused() -> None:
    with pytest.raises(SpecError, match="last linear layer, and this net has none"):
        WiderHead(nn.Sequential(nn.Conv2d(1, 3, 2), nn.Flatten()), 100)
