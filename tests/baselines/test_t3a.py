"""T3A on features of two numbers, where supports, their order of entropy and prototypes are worked out by hand."""

from __future__ import annotations

import pytest
import torch

from persona.baselines.t3a import T3A
from persona.errors import DataError
from tests.baselines.flat import flat_net, pictures

UNIT = [[1.0, 0.0], [0.0, 1.0]]  # class 0 points right, class 1 up
# Right (surest), right and up a little, up: normalised (1, 0), (0.8, 0.6), (0, 1).
WINDOW = [[10.0, 0.0], [4.0, 3.0], [0.0, 3.0]]


def test_prototypes_are_means_of_normalised_features() -> None:
    method = T3A(flat_net(UNIT), 0)
    logits = method.step(pictures(WINDOW))
    wanted = torch.tensor([[(1 + 1 + 0.8) / 3, 0.6 / 3], [0.0, 1.0]])
    torch.testing.assert_close(method.prototypes(), wanted)
    torch.testing.assert_close(logits, torch.tensor(WINDOW) @ wanted.T)


def test_prototypes_of_length_one() -> None:
    method = T3A(flat_net(UNIT), 0, unit=True)
    method.step(pictures(WINDOW))
    torch.testing.assert_close(
        method.prototypes(), torch.tensor([[2.8, 0.6], [0.0, 1.0]]) / torch.tensor([[8.2**0.5], [1.0]])
    )


def test_only_the_surest_stay() -> None:
    # Margins of class 0: 10 for (10, 0), 1 for (4, 3) and 1 for the head's own row, which came first.
    method = T3A(flat_net(UNIT), 0, keep=2)
    method.step(pictures(WINDOW))
    torch.testing.assert_close(method.prototypes()[0], torch.tensor([1.0, 0.0]))
    method.step(pictures([[4.0, 1.0]]))  # margin 3: it takes the place of the head's own row
    torch.testing.assert_close(method.prototypes()[0], (torch.tensor([1.0, 0.0]) + torch.tensor([4, 1]) / 17**0.5) / 2)


def test_before_the_first_window_the_net_answers_and_prototypes_are_its_normalised_rows() -> None:
    method = T3A(flat_net([[3.0, 4.0], [0.0, -2.0]]), 0)
    torch.testing.assert_close(method.answer(pictures([[1.0, 1.0]])), torch.tensor([[7.0, -2.0]]))
    torch.testing.assert_close(method.prototypes(), torch.tensor([[0.6, 0.8], [0.0, -1.0]]))


def test_an_answer_changes_nothing() -> None:
    method = T3A(flat_net(UNIT), 0)
    method.step(pictures(WINDOW))
    before = method.prototypes()
    method.answer(pictures([[3.0, 1.0]]))
    assert torch.equal(method.prototypes(), before)


def test_a_rotated_world_is_learned() -> None:
    # Both classes turned by 50 degrees: the head mistakes class 1's for class 0's; sure samples turn the prototypes.
    dice = torch.Generator().manual_seed(0)
    angles = torch.tensor([-0.2, 1.0]).repeat(40) + 0.15 * torch.randn(80, generator=dice)
    x = 6 * torch.stack([angles.cos(), angles.sin()], dim=1)[:, None, None]
    method, truth = T3A(flat_net(UNIT, [1.5, 0.0]), 0, keep=50), torch.tensor([0, 1]).repeat(40)
    plain = flat_net(UNIT, [1.5, 0.0])(x).argmax(1).eq(truth).float().mean()
    assert method.step(x).argmax(1).eq(truth).float().mean() > plain


@pytest.mark.parametrize("x", [torch.zeros(0, 1, 1, 2), torch.full((2, 1, 1, 2), torch.nan)], ids=["empty", "nan"])
def test_a_bad_window_leaves_no_trace(x: torch.Tensor) -> None:
    method = T3A(flat_net(UNIT), 0)
    with pytest.raises(DataError):
        method.step(x)
    torch.testing.assert_close(method.prototypes(), torch.eye(2))


def test_features_of_nothing_but_zeros_are_answered() -> None:
    assert torch.isfinite(T3A(flat_net(UNIT), 0).step(torch.zeros(3, 1, 1, 2))).all()
