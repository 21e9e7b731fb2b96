"""Cross-layer transfer: one code for all layers, or one a layer, in forward order."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from persona.adapters.transfer import (
    TRANSFERS,
    AttentionTransfer,
    AutoregressiveTransfer,
    IndependentTransfer,
    StackedTransfer,
    Transfer,
    describe_layers,
)
from persona.spec import LayerSpec, ModelSpec, TensorSpec

SPEC = ModelSpec(
    (
        LayerSpec("conv", "conv", (TensorSpec("conv.weight", (10, 10), 0.1), TensorSpec("conv.bias", (10,), 1.0))),
        LayerSpec("norm", "norm", (TensorSpec("norm.weight", (10,), 1.0),)),
        LayerSpec("head", "linear", (TensorSpec("head.weight", (100, 100), 0.01),)),
    )
)


def test_a_layer_is_described_by_its_kind_and_its_largest_tensor() -> None:
    wanted = [[0, 1, 0, 0.5, -1], [0, 0, 1, 0.25, 0], [1, 0, 0, 1, -2]]
    np.testing.assert_allclose(describe_layers(SPEC), wanted, atol=1e-6)
    assert describe_layers(SPEC).dtype == np.float32


@pytest.mark.parametrize("name", sorted(TRANSFERS))
def test_shapes_and_lengths_of_codes(name: str) -> None:
    torch.manual_seed(0)
    rows = 1 if name == "shared" else 3
    transfer, u = TRANSFERS[name](SPEC, 12, 6), torch.randn(7, 12)
    codes = transfer(u)
    assert codes.shape == (7, rows, 6) == (7, *transfer.code_shape)
    torch.testing.assert_close(codes.norm(dim=2), torch.full((7, rows), 6**0.5), rtol=1e-3, atol=0)
    torch.testing.assert_close(codes.mean(dim=2), torch.zeros(7, rows), rtol=0, atol=1e-6)
    for row in range(7):  # batch-mates do not matter
        torch.testing.assert_close(transfer(u[row : row + 1])[0], codes[row], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_layers_code_depends_on_the_layers_before_and_not_on_those_behind(layer: int) -> None:
    torch.manual_seed(0)
    transfer, u = AutoregressiveTransfer(SPEC, 12, 6), torch.randn(5, 12)
    before = transfer(u)
    with torch.no_grad():
        transfer.embeddings[layer] += 3
    changed = (transfer(u) - before).abs().amax(dim=(0, 2)) > 1e-4
    assert changed.tolist() == [row >= layer for row in range(3)]


def test_a_code_reaches_the_next_layer() -> None:
    torch.manual_seed(0)
    transfer, u = AutoregressiveTransfer(SPEC, 12, 6), torch.randn(5, 12)
    before = transfer(u)
    with torch.no_grad():  # the map to the second code alone: the cell's state stays as it was
        transfer.outs[1].bias[0] += 3
    changed = (transfer(u) - before).abs().amax(dim=(0, 2)) > 1e-4
    assert changed.tolist() == [False, True, True]


def test_parameters_are_as_many_as_the_docstrings_say() -> None:
    n, h, d, a = 3, 12, 6, 32
    wanted = {
        "shared": (h + 1) * d,
        "none": n * (h + 1) * d,
        "autoregressive": 3 * h * (2 * h + d + 15) + 8 * n + n * (h + 1) * d,
        "stacked": n * (6 * h**2 + 6 * h) + n * (h + 1) * d,
        "attention": 4 * a * (h + 1) + 14 * a + 8 * n + 8 * a**2 + 6 * a + (a + 1) * d,
    }
    assert {name: sum(p.numel() for p in kind(SPEC, h, d).parameters()) for name, kind in TRANSFERS.items()} == wanted


def test_the_type_names_every_mode() -> None:
    assert get_args(Transfer) == tuple(TRANSFERS)


def test_a_stack_has_a_cell_a_layer_that_reads_the_one_before() -> None:
    torch.manual_seed(0)
    transfer, u = StackedTransfer(SPEC, 12, 6), torch.randn(5, 12)
    weights = transfer.stack.state_dict()
    steps, wanted = [u, u, u], []
    for layer, out in enumerate(transfer.outs):
        cell = torch.nn.GRUCell(12, 12)
        cell.load_state_dict({name: weights[f"{name}_l{layer}"] for name in cell.state_dict()})
        states = [torch.zeros(5, 12)]
        for step in steps:
            states.append(cell(step, states[-1]))
        steps = states[1:]
        wanted.append(F.layer_norm(out(steps[-1]), (6,)))
    torch.testing.assert_close(transfer(u), torch.stack(wanted, dim=1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_without_transfer_each_layer_is_on_its_own(layer: int) -> None:
    torch.manual_seed(0)
    transfer, u = IndependentTransfer(SPEC, 12, 6), torch.randn(5, 12)
    before = transfer(u)
    with torch.no_grad():
        transfer.outs[layer].bias[0] += 3
    changed = (transfer(u) - before).abs().amax(dim=(0, 2)) > 1e-4
    assert changed.tolist() == [row == layer for row in range(3)]


def test_layers_attend_to_each_other_and_are_told_apart() -> None:
    torch.manual_seed(0)
    transfer, u = AttentionTransfer(SPEC, 12, 6), torch.randn(5, 12)
    before = transfer(u)
    assert (before[:, 0] - before[:, 1]).abs().max() > 0.1
    assert (before[0] - before[1]).abs().max() > 0.1
    with torch.no_grad():
        transfer.embeddings[2] += 3
    changed = (transfer(u) - before).abs().amax(dim=(0, 2)) > 1e-4
    assert changed.tolist() == [True, True, True]
