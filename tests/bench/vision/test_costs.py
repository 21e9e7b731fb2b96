"""Costs counted on nets whose work is known by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from persona.baselines.cema import Cema
from persona.baselines.finetune import FineTune
from persona.bench.vision.costs import (
    Costs,
    Traffic,
    cema_traffic,
    measure_costs,
    prototype_traffic,
    sketch_traffic,
)

N, IN, HIDDEN, OUT = 8, 5, 7, 3
FORWARD = 2 * N * (IN * HIDDEN + HIDDEN * OUT)


class Net:
    """Two linear layers; `passes` steps of gradient descent a window."""

    def __init__(self, passes: int, descend: Callable[[Tensor, list[nn.Parameter]], None] | None = None) -> None:
        self.net = nn.Sequential(nn.Linear(IN, HIDDEN), nn.Sigmoid(), nn.Linear(HIDDEN, OUT))
        self.passes, self.descend = passes, descend

    def step(self, x: Tensor) -> Tensor:
        logits = self.answer(x)
        for _ in range(self.passes):
            loss = self.net(x).square().mean()
            assert self.descend is not None
            self.descend(loss, list(self.net.parameters()))
        return logits

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x)
        return logits


def by_grad(loss: Tensor, parameters: list[nn.Parameter]) -> None:
    torch.autograd.grad(loss, parameters)


def by_backward(loss: Tensor, parameters: list[nn.Parameter]) -> None:
    loss.backward()


def window() -> Tensor:
    return torch.randn(N, IN, generator=torch.Generator().manual_seed(0))


def test_a_forward_pass_alone() -> None:
    found = measure_costs(lambda _: Net(0), window())
    assert found == Costs(FORWARD, FORWARD, 0, 0, 4 * N * HIDDEN)
    assert found.to_json()["backward_passes"] == 0


@pytest.mark.parametrize("descend", [by_grad, by_backward])
@pytest.mark.parametrize("passes", [1, 3])
def test_backward_passes_are_counted_with_their_work(descend: Callable[..., None], passes: int) -> None:
    found = measure_costs(lambda _: Net(passes, descend), window())
    # Weights' gradients cost as much as a forward pass; the input's gradient is wanted by the first layer from the
    # second alone.
    each = FORWARD + FORWARD + 2 * N * HIDDEN * OUT
    assert (found.flops, found.answer_flops) == (FORWARD + passes * each, FORWARD)
    assert found.backward_passes == passes


def test_what_a_backward_pass_keeps_is_counted_once_and_without_weights() -> None:
    once, thrice = (measure_costs(lambda _, n=n: Net(n, by_backward), window()).saved_bytes for n in (1, 3))  # type: ignore[misc]
    # The input, the sigmoid's output (which two operations keep) and the logits that are squared.
    assert once == 4 * N * (IN + HIDDEN + OUT)
    assert thrice == once, "a graph that is gone holds nothing"


def test_what_the_cloud_does_is_not_the_devices() -> None:
    found = measure_costs(lambda _: Net(1, by_backward), window(), Traffic(100, 20), verb="answer")
    assert (found.flops, found.backward_passes, found.saved_bytes) == (FORWARD, 0, 0)
    assert (found.up_bytes, found.down_bytes) == (100, 20)


def test_what_travels() -> None:
    assert sketch_traffic(538, (1, 16), 32) == Traffic(16 + 4 + 2 * 538, 16 + 2 * 16)
    assert prototype_traffic(538, 32) == Traffic(16 + 4 + 2 * 538, 16)


@pytest.mark.parametrize(("bias", "sent"), [(5.0, N), (0.0, 0), (100.0, 0)])
def test_cema_sends_samples_that_are_neither_hopeless_nor_certain(bias: float, sent: int) -> None:
    net = nn.Sequential(nn.LayerNorm(IN), nn.Linear(IN, 2))
    with torch.no_grad():
        net[1].weight.zero_()
        net[1].bias.copy_(torch.tensor([bias, 0.0]))  # every sample: the entropy of one logit more
    # Shares of the greatest entropy: 0.058 for 5, 1 for 0, 0 for 100; sent between 0.02 and 0.4.
    found = cema_traffic(Cema(net, net, 0), window(), 10)
    assert found == Traffic(sent * IN, 40 if sent else 0)


def test_learning_from_labels_is_counted() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 4 * 4, OUT))
    found = measure_costs(lambda device: FineTune(net, device, steps=3), torch.rand(N, 1, 6, 6))
    assert found.backward_passes == 3
    assert found.flops > 3 * found.answer_flops
