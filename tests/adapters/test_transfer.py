"""Cross-layer transfer: one code for all layers, or one a layer, each built on the ones before."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from persona.adapters.transfer import AutoregressiveTransfer, SharedTransfer, describe_layers
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


def test_shapes_and_lengths_of_codes() -> None:
    u = torch.randn(7, 12)
    for transfer, rows in ((SharedTransfer(SPEC, 12, 6), 1), (AutoregressiveTransfer(SPEC, 12, 6), 3)):
        codes = transfer(u)
        assert codes.shape == (7, rows, 6) == (7, *transfer.code_shape)
        torch.testing.assert_close(codes.norm(dim=2), torch.full((7, rows), 6**0.5), rtol=1e-3, atol=0)
        torch.testing.assert_close(codes.mean(dim=2), torch.zeros(7, rows), rtol=0, atol=1e-6)


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
