"""Normalisation layers, found and replaced, and nets under the statistics of a window."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from persona.baselines.alpha_bn import AlphaBn
from persona.baselines.bn import Bn
from persona.baselines.norms import WindowNorm, affine_parameters, replace_batch_norms
from persona.baselines.static import Static
from persona.baselines.windowed import WindowedNet
from persona.errors import DataError, SpecError
from tests.baselines.peers import lived_in, window
from tests.nets import PictureNet, PlainNet, SequenceNet


def flat_net() -> nn.Module:
    """Return a net whose logits are its input under batch normalisation; source mean (1, 2), variance (4, 9)."""
    norm = nn.BatchNorm2d(2, affine=False, eps=1e-12)
    norm.running_mean, norm.running_var = torch.tensor([1.0, 2.0]), torch.tensor([4.0, 9.0])
    return nn.Sequential(norm, nn.Flatten()).eval()


# Channel 0 has mean 3 and variance 1, channel 1 mean 5 and variance 4.
HAND = torch.tensor([[2.0, 3.0], [4.0, 7.0]]).reshape(2, 2, 1, 1)


@pytest.mark.parametrize(
    ("alpha", "mean", "variance"),
    [(1.0, (1, 2), (4, 9)), (0.75, (1.5, 2.75), (3.25, 7.75)), (0.5, (2, 3.5), (2.5, 6.5)), (0.0, (3, 5), (1, 4))],
)
def test_alpha_mixes_source_and_window(alpha: float, mean: tuple[float, ...], variance: tuple[float, ...]) -> None:
    method = AlphaBn(flat_net(), 0, alpha=alpha)
    centre, spread = torch.tensor(mean), torch.tensor(variance).sqrt()
    torch.testing.assert_close(method.step(HAND), (HAND.flatten(1) - centre) / spread)
    other = torch.zeros(1, 2, 1, 1)
    torch.testing.assert_close(method.answer(other), (-centre / spread).unsqueeze(0))
    # The source's part stays the source's, however many windows come.
    method.step(other)
    torch.testing.assert_close(method.step(HAND), (HAND.flatten(1) - centre) / spread)


def test_bn_is_batch_normalisation_in_training_mode() -> None:
    method, net = Bn(lived_in("bn"), 0), lived_in("bn").train()
    for seed in range(3):
        torch.testing.assert_close(method.step(window(16, seed)), net(window(16, seed)).detach())
        torch.testing.assert_close(method.answer(window(16, seed)), method.step(window(16, seed)))


def test_static_is_the_net() -> None:
    net, x = lived_in("bn").eval(), window()
    method = Static(net, 0)
    assert torch.equal(method.step(x), net(x).detach())
    assert torch.equal(method.answer(x), net(x).detach())


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_running_statistics_are_an_exponential_average(share: float) -> None:
    net = WindowedNet(flat_net(), share, running=True)
    mean, variance = torch.tensor([1.0, 2.0]), torch.tensor([4.0, 9.0])
    for _ in range(3):
        mean, variance = (
            mean + share * (torch.tensor([3.0, 5.0]) - mean),
            variance + share * (torch.tensor([1.0, 4.0]) - variance),
        )
        torch.testing.assert_close(net.look(HAND), (HAND.flatten(1) - mean) / variance.sqrt())
    net.peek(torch.zeros(2, 2, 1, 1))
    torch.testing.assert_close(net.answer(HAND), (HAND.flatten(1) - mean) / variance.sqrt())


@pytest.mark.parametrize("share", [0.6, 1.0])
def test_the_gradient_runs_through_the_windows_own_statistics(share: float) -> None:
    norm = nn.BatchNorm2d(3).double()
    norm.running_var = torch.rand(3, dtype=torch.float64) + 0.5
    own = WindowNorm(norm, share)
    own.mode = "peek"
    x = torch.randn(4, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(own, (x,))


def test_affine_parameters_are_those_of_every_kind_of_norm_each_once() -> None:
    net = PictureNet()
    expected = [net.bn.weight, net.bn.bias, net.gn.weight, net.gn.bias]
    assert [id(p) for p in affine_parameters(net)] == [id(p) for p in expected]
    sequence = SequenceNet()
    assert [id(p) for p in affine_parameters(sequence)] == [id(p) for p in sequence.norm.parameters()]
    twice = nn.Sequential(net.bn, net.bn)
    assert len(affine_parameters(twice)) == 2
    replace_batch_norms(net)
    assert [id(p) for p in affine_parameters(net)] == [id(p) for p in expected]


@pytest.mark.parametrize("net", [PlainNet(), nn.BatchNorm2d(3, affine=False)])
def test_without_parameters_there_is_nothing_to_learn(net: nn.Module) -> None:
    with pytest.raises(SpecError, match="no normalisation layer with scale and shift"):
        affine_parameters(net)


def test_a_norm_used_twice_is_replaced_by_one() -> None:
    norm = nn.BatchNorm2d(2)
    net = nn.Sequential(norm, nn.ReLU(), norm)
    made = replace_batch_norms(net)
    assert len(made) == 1
    assert net[0] is net[2] is made[0]


def test_a_norm_without_source_statistics_is_left_alone() -> None:
    assert replace_batch_norms(nn.Sequential(nn.BatchNorm2d(2, track_running_stats=False))) == []
    with pytest.raises(SpecError, match="no source statistics"):
        WindowNorm(nn.BatchNorm2d(2, track_running_stats=False))


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        (torch.zeros(2, 3, 8, 8), "the net reads 1 channels"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), "floating-point"),
        (torch.zeros(4), "at least one sample"),
        (torch.full((2, 1, 8, 8), 2e6), "2 of 2 samples of a window have values beyond"),
    ],
)
def test_windows_that_do_not_fit_are_refused_by_name(odd: Tensor, says: str) -> None:
    for method in (Bn(lived_in("bn"), 0), Static(lived_in("bn"), 0)):
        with pytest.raises(DataError, match=says):
            method.step(odd)


def test_a_window_that_fails_inside_the_net_leaves_no_statistics() -> None:
    net = WindowedNet(nn.Sequential(nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3)))
    fits, other = torch.rand(4, 2, 2, 2), torch.rand(4, 2, 2, 2)
    net.look(fits)
    before = net.answer(other)
    with pytest.raises(DataError, match=r"shape \(4, 2, 3, 3\) does not fit the net"):
        net.look(torch.rand(4, 2, 3, 3))
    assert torch.equal(net.answer(other), before)
    with torch.no_grad():
        bias = net.net[2].bias[0].item()
        net.net[2].bias[0] = torch.inf
        with pytest.raises(DataError, match="logits that are not finite"):
            net.look(other)
        net.net[2].bias[0] = bias
    assert torch.equal(net.answer(other), before)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_alpha_is_a_share(alpha: float) -> None:
    with pytest.raises(SpecError, match=r"alpha of α-BN is .*from 0 to 1"):
        AlphaBn(lived_in("bn"), 0, alpha=alpha)
