"""Sketch features in torch are those of the device's numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from persona.model import raw_features, standardise
from persona.sketch import FEATURE_LIMIT, Sketch, SketchSpec, TapSpec

TAPS = (TapSpec("first", 3), TapSpec("second", 2), TapSpec("head", 4, 1))


def windows(mean: float, spread: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return moments (B, S, M) and logits (B, S, C) of 5 windows of 32 samples."""
    dice = torch.Generator().manual_seed(seed)
    parts = []
    for tap in TAPS:
        x = mean + spread * torch.randn(5, 32, tap.channels, 6, generator=dice)  # six places a sample
        parts += [power.mean(dim=3) for power in (x, x * x)[: tap.order]]
    return torch.cat(parts, dim=2), 3 * torch.randn(5, 32, 7, generator=dice)


@pytest.mark.parametrize(("mean", "spread"), [(0.0, 1.0), (1.0, 0.3), (50.0, 0.05), (0.0, 1e-4), (0.0, 0.0)])
@pytest.mark.parametrize("classes", [7, 0])
def test_torch_and_numpy_agree(mean: float, spread: float, classes: int) -> None:
    moments, logits = windows(mean, spread)
    rng = np.random.default_rng(1)
    width = SketchSpec.unscaled(TAPS, classes).n_features
    center, scale = rng.normal(size=width).astype(np.float32), rng.uniform(0.5, 2, width).astype(np.float32)
    spec = SketchSpec(TAPS, classes, center, scale)
    raw = raw_features(TAPS, moments, logits if classes else None)
    found = standardise(raw, torch.from_numpy(center), torch.from_numpy(scale))
    wanted = [Sketch.of(spec, m, z).features(spec) for m, z in zip(moments.numpy(), logits.numpy(), strict=True)]
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5, rtol=1e-5)


def test_features_are_limited_as_on_the_device() -> None:
    raw = torch.tensor([[1e6, -1e6, 0.0]])
    found = standardise(raw, torch.zeros(3), torch.ones(3))
    assert found.tolist() == [[FEATURE_LIMIT, -FEATURE_LIMIT, 0.0]]


def test_a_gradient_passes_through_the_sketch() -> None:
    moments, logits = (value.requires_grad_() for value in windows(0.5, 1.0))
    raw_features(TAPS, moments, logits).square().sum().backward()
    for value in (moments, logits):
        assert value.grad is not None
        assert (value.grad != 0).any(dim=(0, 1)).all()


def test_windows_do_not_touch_each_other() -> None:
    moments, logits = windows(0.0, 1.0)
    before = raw_features(TAPS, moments, logits)
    moments[1] = 9.0
    after = raw_features(TAPS, moments, logits)
    assert torch.equal(after[[0, 2, 3, 4]], before[[0, 2, 3, 4]])
    assert not torch.equal(after[1], before[1])
