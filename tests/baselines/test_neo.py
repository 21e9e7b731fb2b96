"""NEO: a shift that moves all features alike is undone exactly."""

from __future__ import annotations

import pytest
import torch

from persona.baselines.neo import Neo
from persona.errors import DataError
from tests.baselines.flat import flat_net, pictures

HEAD = ([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]], [0.3, -0.2])


def windows(count: int) -> torch.Tensor:
    """Return (count, 8, 1, 1, 3) pictures, each window's mean feature at the origin."""
    x = torch.randn(count, 8, 1, 1, 3, generator=torch.Generator().manual_seed(1))
    return x - x.mean(dim=1, keepdim=True)


@pytest.mark.parametrize("momentum", [None, 0.3, 1.0])
def test_a_translation_is_undone_exactly(momentum: float | None) -> None:
    net = flat_net(*HEAD)
    method, moved = Neo(net, 0, momentum=momentum), torch.tensor([5.0, -3.0, 7.0])
    for x in windows(4):
        torch.testing.assert_close(method.step(x + moved), net(x))
        torch.testing.assert_close(method.answer(x + moved), net(x))


def test_all_samples_count_alike() -> None:
    method = Neo(flat_net(*HEAD), 0)
    method.step(pictures([[1.0, 0.0, 0.0]] * 3))
    logits = method.step(pictures([[5.0, 0.0, 0.0]]))
    # The mean of 1, 1, 1, 5 is 2, so the new sample stands 3 to the right.
    torch.testing.assert_close(logits, torch.tensor([[3.3, -0.2]]))


def test_the_continual_variant_forgets() -> None:
    method = Neo(flat_net(*HEAD), 0, momentum=0.25, bias=False)
    method.step(pictures([[0.0, 4.0, 0.0]] * 3))
    torch.testing.assert_close(method.step(pictures([[0.0, 8.0, 0.0]])), torch.tensor([[0.0, 3.0]]))


def test_before_the_first_window_the_net_answers() -> None:
    net = flat_net(*HEAD)
    x = pictures([[1.0, 2.0, 3.0]])
    torch.testing.assert_close(Neo(net, 0).answer(x), net(x))


def test_a_window_of_values_that_are_not_finite_leaves_no_trace() -> None:
    method, x = Neo(flat_net(*HEAD), 0), windows(1)[0]
    method.step(x)
    before = method.answer(x)
    with pytest.raises(DataError, match="1 of 1 samples"):
        method.step(pictures([[1.0, float("inf"), 0.0]]))
    torch.testing.assert_close(method.answer(x), before)
