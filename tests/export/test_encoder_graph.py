"""The half of an adapter that stays in the cloud: its graph gives torch's codes, whatever shares the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest
import torch

from persona.adapters import PersonaAdapter
from persona.errors import ExportError
from persona.export.graph import encoder_graph
from tests.adapters.building import PICTURE, adapter_for, contexts, trained
from tests.nets import PictureNet, editable

MODEL = editable(PictureNet)


def codes(graph: bytes, **feeds: torch.Tensor) -> npt.NDArray[Any]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(graph, options, ["CPUExecutionProvider"])
    assert sorted(value.name for value in session.get_inputs()) == sorted(feeds)
    (found,) = session.run(["codes"], {name: value.numpy() for name, value in feeds.items()})
    return np.asarray(found)


@pytest.fixture(scope="module")
def sketching() -> tuple[PersonaAdapter, bytes]:
    adapter = trained(adapter_for(MODEL, "sketch", transfer="autoregressive"))
    return adapter, encoder_graph(adapter, MODEL.n_features, MODEL.input_shape)


@pytest.mark.parametrize("transfer", ["stacked", "attention", "none"])
def test_every_transfer_gives_torchs_codes(transfer: str) -> None:
    small = editable(PictureNet, "gn", "head")
    adapter = trained(adapter_for(small, "sketch", transfer=transfer))
    graph = encoder_graph(adapter, small.n_features, small.input_shape)
    for count in (1, 5):
        features = torch.randn(count, small.n_features, generator=torch.Generator().manual_seed(count))
        with torch.no_grad():
            wanted = adapter.codes(features)
        np.testing.assert_allclose(codes(graph, features=features), wanted.numpy(), atol=1e-5, rtol=1e-5)


def test_sketch_and_samples_together_give_torchs_codes() -> None:
    adapter = trained(adapter_for(MODEL, "both"))
    graph = encoder_graph(adapter, MODEL.n_features, PICTURE)
    context = contexts(adapter, MODEL, 3, 6)
    assert isinstance(context, tuple)
    features, samples = context
    mask = torch.ones(3, 6)
    mask[0, 2:] = 0
    with torch.no_grad():
        wanted = adapter.codes(context, mask)
    samples = samples.where(mask.bool()[..., None, None, None], torch.nan)  # padding may hold anything
    found = codes(graph, features=features, samples=samples, mask=mask)
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5, rtol=1e-5)


def test_a_graph_is_as_calm_as_torch() -> None:
    adapter = trained(adapter_for(MODEL, "sketch"))
    graph = encoder_graph(adapter, MODEL.n_features, MODEL.input_shape)
    wild = torch.full((3, MODEL.n_features), torch.nan)
    wild[1], wild[2] = torch.inf, -1e38
    with torch.no_grad():
        wanted = adapter.codes(wild)
    np.testing.assert_allclose(codes(graph, features=wild), wanted.numpy(), atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def looking() -> tuple[PersonaAdapter, bytes]:
    adapter = trained(adapter_for(MODEL, "images", transfer="shared"))
    return adapter, encoder_graph(adapter, MODEL.n_features, PICTURE)


@pytest.mark.parametrize("count", [1, 2, 33])
def test_sketches_give_torchs_codes(sketching: tuple[PersonaAdapter, bytes], count: int) -> None:
    adapter, graph = sketching
    features = contexts(adapter, MODEL, count)
    with torch.no_grad():
        wanted = adapter.codes(features)
    np.testing.assert_allclose(codes(graph, features=features), wanted.numpy(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("count", "samples"), [(1, 1), (1, 7), (3, 5), (17, 2)])
def test_samples_give_torchs_codes(looking: tuple[PersonaAdapter, bytes], count: int, samples: int) -> None:
    adapter, graph = looking
    pictures, mask = contexts(adapter, MODEL, count, samples), torch.ones(count, samples)
    with torch.no_grad():
        wanted = adapter.codes(pictures)
    np.testing.assert_allclose(codes(graph, samples=pictures, mask=mask), wanted.numpy(), atol=1e-5, rtol=1e-5)


def test_padding_and_batch_mates_change_nothing(looking: tuple[PersonaAdapter, bytes]) -> None:
    adapter, graph = looking
    pictures, mask = contexts(adapter, MODEL, 3, 6), torch.ones(3, 6)
    mask[0, 2:] = 0
    mask[1, 5:] = 0
    pictures[mask == 0] = 9.0
    together = codes(graph, samples=pictures, mask=mask)
    for row, size in enumerate((2, 5, 6)):
        own = pictures[row : row + 1, :size]
        with torch.no_grad():
            wanted = adapter.codes(own)
        np.testing.assert_allclose(together[row : row + 1], wanted.numpy(), atol=1e-5, rtol=1e-5)


def test_a_context_that_does_not_fit_the_encoder_is_refused() -> None:
    with pytest.raises(ExportError, match="cannot be exported to ONNX"):
        encoder_graph(adapter_for(MODEL, "sketch"), MODEL.n_features + 1, MODEL.input_shape)
