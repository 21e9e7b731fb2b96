"""Codes → deltas in torch, and the same in the numpy that ships to devices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from persona.adapters.decoders import DENSE_LIMIT, DeltaDecoder, DenseMap, KernelMap
from persona.decoder import Decoder
from persona.spec import LayerSpec, ModelSpec, TensorSpec

SPEC = ModelSpec(
    (
        LayerSpec(
            "conv", "conv", (TensorSpec("conv.weight", (16, 8, 3, 3), 0.07), TensorSpec("conv.bias", (16,), 0.6))
        ),
        LayerSpec("norm", "norm", (TensorSpec("norm.weight", (16,), 1.3), TensorSpec("norm.bias", (16,), 1.3))),
        LayerSpec("head", "linear", (TensorSpec("head.weight", (40, 50), 1e-3), TensorSpec("head.bias", (40,), 0.01))),
    )
)
SHAPES = [(1, 6), (3, 6)]


def trained_decoder(kind: str, code_shape: tuple[int, int], rank: int = 4, scale: float = 0.4) -> DeltaDecoder:
    decoder = DeltaDecoder(SPEC, code_shape, kind, rank)  # type: ignore[arg-type]
    dice = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=dice))
    return decoder


def codes(count: int, code_shape: tuple[int, int]) -> torch.Tensor:
    raw = torch.randn(count, *code_shape, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.layer_norm(raw, code_shape[1:])


@pytest.mark.parametrize("scale", [0.05, 0.4, 20.0])
@pytest.mark.parametrize("rank", [1, 4])
@pytest.mark.parametrize("kind", ["kernel", "dense"])
@pytest.mark.parametrize("code_shape", SHAPES)
def test_torch_and_numpy_decode_alike(code_shape: tuple[int, int], kind: str, rank: int, scale: float) -> None:
    decoder = trained_decoder(kind, code_shape, rank, scale)
    batch = codes(4, code_shape)
    with torch.no_grad():
        deltas = decoder(batch)
    numpy_decoder = decoder.to_numpy()
    again = Decoder.from_arrays(SPEC, code_shape, numpy_decoder.to_arrays())
    for row, code in enumerate(batch.numpy()):
        for shipped in (numpy_decoder, again):
            edit = shipped.decode(code).check(SPEC)
            for tensor in SPEC.tensors:
                found, wanted = deltas[tensor.name][row].numpy(), edit.deltas[tensor.name]
                assert np.abs(found - wanted).max() <= 1e-6 * max(scale, 1) ** 2 * tensor.bound, tensor.name


@pytest.mark.parametrize("kind", ["kernel", "dense"])
def test_large_tensors_get_a_kernel_only_in_a_kernel_decoder(kind: str) -> None:
    decoder = DeltaDecoder(SPEC, (1, 6), kind)  # type: ignore[arg-type]
    for tensor, relative in zip(SPEC.tensors, decoder.maps, strict=True):
        wanted = KernelMap if kind == "kernel" and tensor.size > DENSE_LIMIT else DenseMap
        assert type(relative) is wanted, tensor.name


def test_a_kernel_is_low_rank_by_construction() -> None:
    decoder = trained_decoder("kernel", (1, 6), rank=2)
    relative = torch.atanh(decoder(codes(1, (1, 6)))["head.weight"][0].double() / 1e-3)
    singular = torch.linalg.svdvals(relative)
    assert singular[1] > 0.1 * singular[0]
    assert singular[2] < 1e-4 * singular[0]


def test_rows_of_the_code_drive_their_own_layers() -> None:
    decoder, batch = trained_decoder("kernel", (3, 6)), codes(1, (3, 6))
    before = decoder(batch)
    for row, layer in enumerate(SPEC.layers):
        moved = batch.clone()
        moved[:, row] = -moved[:, row]
        after = decoder(moved)
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert changed == {tensor.name for tensor in layer.tensors}


def test_numpys_copy_does_not_follow_further_training() -> None:
    decoder = trained_decoder("dense", (1, 6))
    shipped, code = decoder.to_numpy(), codes(1, (1, 6))[0].numpy()
    before = shipped.decode(code)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.zero_()
    assert before.distance(shipped.decode(code)) == 0
