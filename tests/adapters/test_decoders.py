"""Codes → deltas in torch, and the same in the numpy that ships to devices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from persona.adapters.decoders import DENSE_LIMIT, DeltaDecoder, DenseMap, KernelMap
from persona.adapters.transfer import TRANSFERS
from persona.decoder import Decoder
from persona.spec import LayerSpec, ModelSpec, TensorSpec
from persona.wire import AdaptReply

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
@pytest.mark.parametrize("kind", ["kernel", "basis"])
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


@pytest.mark.parametrize("kind", ["kernel", "basis", "dense"])
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
    decoder = trained_decoder("basis", (1, 6))
    shipped, code = decoder.to_numpy(), codes(1, (1, 6))[0].numpy()
    before = shipped.decode(code)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.zero_()
    assert before.distance(shipped.decode(code)) == 0


def test_a_basis_is_a_sum_of_full_weights() -> None:
    """Σ_k z_k B_k + B_0 for every tensor, a convolution's kernel among them; and "dense" is the same map."""
    basis, dense, batch = trained_decoder("basis", (1, 6)), trained_decoder("dense", (1, 6)), codes(1, (1, 6))
    found = basis(batch)["conv.weight"][0].double()
    conv = basis.maps[0]
    elements = conv.weight.double().reshape(6, 16, 8, 3, 3)
    relative = sum(float(batch[0, 0, k]) * elements[k] for k in range(6)) + conv.bias.double().reshape(16, 8, 3, 3)
    torch.testing.assert_close(found, 0.07 * torch.tanh(relative), atol=1e-6, rtol=1e-5)
    assert basis.state_dict().keys() == dense.state_dict().keys()
    assert all(torch.equal(value, dense(batch)[name]) for name, value in basis(batch).items())


@pytest.mark.parametrize("name", [name for name in sorted(TRANSFERS) if name != "shared"])
def test_codes_travel_first_layer_to_last(name: str) -> None:
    """Row l of what a transfer gives reaches layer l alone, after the wire and in the numpy of a device."""
    torch.manual_seed(0)
    transfer = TRANSFERS[name](SPEC, 12, 6)
    decoder = trained_decoder("kernel", transfer.code_shape)
    with torch.no_grad():
        rows = transfer(torch.randn(1, 12))
        wanted = decoder(rows)
    sent = AdaptReply("0" * 16, 0, 1, 0, rows[0].numpy(), "float32").encode()
    received = AdaptReply.decode(sent, transfer.code_shape).residual
    assert received is not None
    shipped = decoder.to_numpy()
    edit = shipped.decode(received)
    for tensor in SPEC.tensors:
        np.testing.assert_allclose(edit.deltas[tensor.name], wanted[tensor.name][0], atol=1e-6 * tensor.bound)
    for row, layer in enumerate(SPEC.layers):
        other = received.copy()
        other[row] *= -1
        moved = shipped.decode(other).deltas
        changed = {key for key in moved if not np.array_equal(moved[key], edit.deltas[key])}
        assert changed == {tensor.name for tensor in layer.tensors}
