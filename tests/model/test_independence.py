"""A layer that mixes devices is refused when the model is made, not found out in production."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from persona.errors import SpecError
from persona.model import EditableModel


class Steps(nn.Module):
    """(N, T, 4) → (N, 3); `act` reads samples first, and is there to be tapped."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.Tanh()
        self.step = nn.Linear(4, 3)


class TimeFirst(Steps):
    def forward(self, x: Tensor) -> Tensor:
        steps: Tensor = self.step(self.act(x).transpose(0, 1))  # (T, N, 3)
        return steps.mean(dim=0)


class TimeFirstFlat(Steps):
    def forward(self, x: Tensor) -> Tensor:
        steps: Tensor = self.step(self.act(x).transpose(0, 1).flatten(0, 1))  # (T·N, 3)
        return steps.reshape(x.shape[1], x.shape[0], 3).mean(dim=0)


class ReadPast(Steps):
    """Reads the layer's weight a second time without calling the layer."""

    def forward(self, x: Tensor) -> Tensor:
        called: Tensor = self.step(self.act(x)).mean(dim=1)
        return called + x.mean(dim=1) @ self.step.weight.mT


class BatchStatistics(nn.Module):
    """Normalises over whatever is in the batch, behind the edited layer."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Conv2d(1, 3, 1)
        self.norm = nn.BatchNorm2d(3, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.step(x)).mean(dim=(2, 3))
        return out


@pytest.mark.parametrize("samples", [3, 4])
@pytest.mark.parametrize("steps", [4, 5, 6])
@pytest.mark.parametrize("kind", [TimeFirst, TimeFirstFlat])
def test_time_first_layers_are_refused(kind: type[Steps], samples: int, steps: int) -> None:
    with pytest.raises(SpecError, match=r"layer 'step'.* with the samples along the first axis"):
        EditableModel(kind(), ["step"], torch.randn(samples, steps, 4), taps=["act"])


def test_a_blank_example_does_not_hide_them() -> None:
    with pytest.raises(SpecError, match="layer 'step'"):
        EditableModel(TimeFirst(), ["step"], torch.zeros(4, 6, 4), taps=["act"])


def test_a_weight_that_is_read_past_its_layer_is_refused() -> None:
    with pytest.raises(SpecError, match="layer 'step'"):
        EditableModel(ReadPast(), ["step"], torch.randn(2, 5, 4), taps=["act"])


def test_statistics_of_the_batch_behind_an_edit_are_refused() -> None:
    with pytest.raises(SpecError, match="an edit of layer 'step' for one device reaches another's samples"):
        EditableModel(BatchStatistics(), ["step"], torch.randn(2, 1, 4, 4))
    EditableModel(BatchStatistics(), ["norm"], torch.randn(2, 1, 4, 4))


def test_a_module_for_one_size_of_batch_is_refused() -> None:
    class Fixed(Steps):
        def forward(self, x: Tensor) -> Tensor:
            steps: Tensor = self.step(self.act(x))
            return steps.reshape(2, 5, 3).mean(dim=1)

    with pytest.raises(SpecError, match="the module does not run on 4 samples in the place of 2"):
        EditableModel(Fixed(), ["step"], torch.randn(2, 5, 4))


def test_outputs_that_are_not_finite_are_no_reason_to_refuse() -> None:
    class Logarithm(Steps):
        def forward(self, x: Tensor) -> Tensor:
            steps: Tensor = self.step(self.act(x))
            return steps.mean(dim=1).log()

    EditableModel(Logarithm(), ["step"], torch.randn(2, 5, 4))


def test_the_trial_rolls_dice_of_its_own() -> None:
    torch.manual_seed(0)
    wanted = torch.rand(1)
    net = nn.Sequential(nn.Linear(4, 3))
    torch.manual_seed(0)
    EditableModel(net, ["0"], torch.zeros(2, 4))
    assert torch.equal(torch.rand(1), wanted)
