"""An adapter never returns an edit that is not finite, and a broken context does not reach another device's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from persona.adapters import PersonaAdapter
from persona.edit import Array
from tests.adapters.building import PICTURE, adapter_for, backbone_model, trained

MODEL = backbone_model("cnn-gn")
WILD = st.one_of(st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -3e38]), st.floats(width=32))
FEATURES = arrays(np.float32, (2, MODEL.n_features), elements=WILD, fill=WILD)
PICTURES = arrays(np.float32, (2, 3, *PICTURE), elements=WILD, fill=WILD)


def adapters(encoder: str) -> list[PersonaAdapter]:
    return [trained(adapter_for(MODEL, encoder, transfer=name)) for name in ("shared", "autoregressive", "attention")]


SKETCHING, LOOKING, READING_BOTH = adapters("sketch"), adapters("images"), adapters("both")


def check(adapter: PersonaAdapter, context: torch.Tensor | tuple[torch.Tensor, torch.Tensor]) -> None:
    with torch.no_grad():
        codes = adapter.codes(context)
        deltas = adapter.decoder(codes)
    assert codes.isfinite().all()
    assert (codes.norm(dim=2) <= adapter.code_shape[1] ** 0.5 * (1 + 1e-3)).all()
    for tensor in MODEL.spec.tensors:
        assert (deltas[tensor.name].abs() <= tensor.bound * (1 + 1e-6)).all()  # False for NaN
    decoder = adapter.decoder.to_numpy()
    for code in codes.numpy():
        decoder.decode(code).check(MODEL.spec)


@settings(max_examples=25, deadline=None)
@given(FEATURES)
def test_edits_of_wild_sketches_are_finite(features: Array) -> None:
    for adapter in SKETCHING:
        check(adapter, torch.from_numpy(features))


@settings(max_examples=15, deadline=None)
@given(FEATURES, PICTURES)
def test_edits_of_wild_pictures_are_finite(features: Array, pictures: Array) -> None:
    for adapter, other in zip(LOOKING, READING_BOTH, strict=True):
        check(adapter, torch.from_numpy(pictures))
        check(other, (torch.from_numpy(features), torch.from_numpy(pictures)))


@pytest.mark.parametrize("adapter", SKETCHING)
def test_a_sketch_of_nan_has_the_code_of_the_zero_sketch(adapter: PersonaAdapter) -> None:
    context = torch.randn(3, MODEL.n_features, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        zero = adapter.codes(torch.zeros(1, MODEL.n_features))
        wanted = adapter.codes(context)
        context[1] = torch.nan
        found = adapter.codes(context)
    torch.testing.assert_close(found[1], zero[0])
    torch.testing.assert_close(found[[0, 2]], wanted[[0, 2]])


@pytest.mark.parametrize("adapter", LOOKING)
def test_a_set_of_broken_pictures_has_the_code_of_the_empty_set(adapter: PersonaAdapter) -> None:
    pictures = torch.rand(2, 4, *PICTURE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        empty = adapter.codes(pictures[:1], torch.zeros(1, 4))
        wanted = adapter.codes(pictures)
        pictures[1, :, 0, 3, 3] = torch.inf
        found = adapter.codes(pictures)
    torch.testing.assert_close(found[1], empty[0])
    torch.testing.assert_close(found[0], wanted[0])


def test_a_wild_context_leaves_the_gradient_finite() -> None:
    adapter = SKETCHING[0]
    features = torch.full((2, MODEL.n_features), torch.nan)
    features[1] = 1e38
    sum(delta.square().sum() for delta in adapter(features).values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in adapter.parameters())
