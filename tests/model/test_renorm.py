"""The trainable renormalisation: what torch's batch normalisation gives with other statistics, and numpy's twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from persona.model import EditableModel
from persona.model.renorm import START, Renorm
from persona.sketch import Sketch, SketchSpec
from tests.nets import PictureNet, PlainNet, editable


class TwoNorms(nn.Module):
    """(N, 2, 6, 6) → (N, 3), with batch normalisation before anything is edited and behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.conv = nn.BatchNorm2d(2), nn.Conv2d(2, 5, 3)
        self.norm2, self.head = nn.BatchNorm2d(5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm2(self.conv(self.norm1(x))))
        logits: Tensor = self.head(x.mean(dim=(2, 3)))
        return logits


def model_of(*patterns: str, grid: int = 0) -> EditableModel:
    torch.manual_seed(0)
    net = TwoNorms().train()
    for _ in range(20):
        net(1 + torch.randn(16, 2, 6, 6))
    with torch.no_grad():
        for norm in (net.norm1, net.norm2):
            norm.weight.copy_(1 + 0.3 * torch.randn(norm.num_features))
            norm.bias.copy_(torch.randn(norm.num_features))
    return EditableModel(net, patterns or ("norm?", "head"), torch.zeros(2, 2, 6, 6), grid=grid).eval()


def windows(count: int = 3, samples: int = 16) -> Tensor:
    dice = torch.Generator().manual_seed(1)
    offset = 2 * torch.randn(count, 1, 2, 1, 1, generator=dice)
    return offset + (0.3 + torch.rand(count, 1, 1, 1, 1, generator=dice)) * torch.randn(
        count, samples, 2, 6, 6, generator=dice
    )


def mean_moments(model: EditableModel, x: Tensor) -> Tensor:
    moments = model(x.flatten(0, 1)).moments
    return moments.reshape(*x.shape[:2], -1).mean(dim=1)


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_the_edited_first_layer_is_torchs_own_with_mixed_statistics(strength: float) -> None:
    """The tap of a layer is taken under base weights, so the second one's oracle would need the first one's edit."""
    model, x = model_of("norm1"), windows()
    renorm = Renorm(model)
    assert renorm.logits.shape == (1,)
    with torch.no_grad():
        renorm.logits.fill_(torch.logit(torch.tensor(strength)).clamp(-100, 100))
        deltas = renorm(model, mean_moments(model, x))
        edited = model(x.flatten(0, 1), deltas).logits.unflatten(0, x.shape[:2])
    assert deltas.keys() == {"norm1.weight", "norm1.bias"}
    for row, own in enumerate(x):
        oracle = model_of("norm1").module
        norm = oracle.get_submodule("norm1")
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.lerp_(own.mean(dim=(0, 2, 3)), strength)
        norm.running_var.lerp_(own.var(dim=(0, 2, 3), correction=0), strength)
        with torch.no_grad():
            torch.testing.assert_close(edited[row], oracle(own), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [0.0, 0.5])
def test_numpys_twin_gives_the_same_deltas(size: float) -> None:
    """From the moments of one pass with own statistics, under learned deltas of no size and of some."""
    model, x = model_of(), windows()
    renorm, dice = Renorm(model), torch.Generator().manual_seed(2)
    learned = {t.name: size * torch.randn(len(x), *t.shape, generator=dice) for t in model.spec.tensors}
    with torch.no_grad():
        renorm.logits.copy_(torch.tensor([-1.0, 2.0]))
        moments = model(x.flatten(0, 1), learned, renorm.shares()).moments.unflatten(0, x.shape[:2])
        deltas = renorm(model, moments.mean(dim=1), learned)
    spec = SketchSpec.unscaled(model.tap_specs, 0)
    shipped = renorm.to_numpy(model).check(spec)
    assert [layer.name for layer in shipped.layers] == ["norm1", "norm2"]
    again = type(shipped).from_arrays(shipped.to_arrays(), {"norm1": 2, "norm2": 5})
    for row, rows in enumerate(moments.numpy()):
        sketch = Sketch.of(spec, rows, np.zeros((len(rows), 0)))
        for twin in (shipped, again):
            found = twin.settled(spec, sketch, {name: delta[row].numpy() for name, delta in learned.items()})
            assert found.keys() == deltas.keys()
            for name, delta in found.items():
                np.testing.assert_allclose(delta, deltas[name][row].numpy(), atol=1e-5)


def test_the_strengths_start_alike_and_are_trained() -> None:
    model, x = model_of(), windows()
    renorm = Renorm(model)
    torch.testing.assert_close(renorm.logits.sigmoid(), torch.full((2,), START))
    deltas = renorm(model, mean_moments(model, x))
    model(x.flatten(0, 1), deltas).logits.square().sum().backward()
    assert renorm.logits.grad is not None
    assert (renorm.logits.grad.abs() > 0).all()
    assert dict(renorm.named_parameters()).keys() == {"logits"}


def test_constant_pictures_stay_finite_and_so_does_their_gradient() -> None:
    model = model_of()
    renorm = Renorm(model)
    with torch.no_grad():
        renorm.logits.fill_(100.0)
    x = torch.full((2, 8, 2, 6, 6), 0.5)
    deltas = renorm(model, mean_moments(model, x))
    assert all(delta.isfinite().all() for delta in deltas.values())
    model(x.flatten(0, 1), deltas).logits.sum().backward()
    assert renorm.logits.grad is not None
    assert renorm.logits.grad.isfinite().all()


def test_a_windows_deltas_do_not_depend_on_batch_mates() -> None:
    model, x = model_of(), windows()
    renorm, means = Renorm(model), mean_moments(model, x)
    together = renorm(model, means)
    for row in range(3):
        for name, delta in renorm(model, means[row : row + 1]).items():
            torch.testing.assert_close(delta[0], together[name][row])


@pytest.mark.parametrize(
    ("model", "names"),
    [
        pytest.param(editable(PictureNet), {"bn.weight", "bn.bias"}, id="group normalisation has no statistics"),
        pytest.param(editable(PlainNet), set(), id="no normalisation"),
        pytest.param(model_of("norm2", "head"), {"norm2.weight", "norm2.bias"}, id="one that is not edited"),
        pytest.param(model_of(grid=2), {"norm2.weight", "norm2.bias"}, id="a grid has the moments of cells"),
        pytest.param(model_of(grid=1), {"norm2.weight", "norm2.bias"}, id="a grid of one cell"),
    ],
)
def test_only_edited_batch_normalisation_is_renormalised(model: EditableModel, names: set[str]) -> None:
    renorm = Renorm(model)
    with torch.no_grad():
        means = model(torch.randn(4, *model.input_shape)).moments
        assert renorm(model, means).keys() == names
    assert len(renorm.to_numpy(model).layers) == len(names) // 2
