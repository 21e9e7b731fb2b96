"""Encoders of sets: neither order, padding nor batch-mates matter."""

from __future__ import annotations

import math

import pytest
import torch

from persona.adapters import BothEncoder, ImageSetEncoder, SketchEncoder
from persona.adapters.encoders import SAMPLE_LIMIT


def pictures(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, 2, 11, 13, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def encoder() -> ImageSetEncoder:
    torch.manual_seed(0)
    return ImageSetEncoder(channels=2, width=24)


def test_the_order_of_a_support_does_not_matter(encoder: ImageSetEncoder) -> None:
    samples, mask = pictures(3, 6), torch.ones(3, 6)
    mask[1, 4:] = 0
    wanted = encoder(samples, mask)
    order = torch.tensor([5, 2, 0, 4, 1, 3])
    torch.testing.assert_close(encoder(samples[:, order], mask[:, order]), wanted, atol=1e-6, rtol=1e-5)
    assert (wanted[0] - wanted[2]).abs().max() > 1e-4


@pytest.mark.parametrize("junk", [0.0, 1.0, -1e3, math.nan, math.inf])
def test_padding_does_not_matter_whatever_it_holds(encoder: ImageSetEncoder, junk: float) -> None:
    samples = pictures(2, 4)
    padded = torch.cat([samples, torch.full_like(samples[:, :3], junk)], dim=1)
    mask = torch.tensor([[1.0] * 4 + [0.0] * 3] * 2)
    torch.testing.assert_close(encoder(padded, mask), encoder(samples), atol=1e-6, rtol=1e-5)


def test_sets_of_different_sizes_share_a_batch(encoder: ImageSetEncoder) -> None:
    samples = pictures(2, 5)
    mask = torch.tensor([[1.0, 1, 0, 0, 0], [1.0, 1, 1, 1, 1]])
    found = encoder(samples, mask)
    torch.testing.assert_close(found[:1], encoder(samples[:1, :2]), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found[1:], encoder(samples[1:]), atol=1e-6, rtol=1e-5)


def test_without_a_mask_every_sample_counts(encoder: ImageSetEncoder) -> None:
    samples = pictures(2, 3)
    assert torch.equal(encoder(samples), encoder(samples, torch.ones(2, 3)))


def test_an_empty_set_has_a_finite_context(encoder: ImageSetEncoder) -> None:
    assert encoder(pictures(1, 3), torch.zeros(1, 3)).isfinite().all()


def test_pictures_may_be_of_any_size(encoder: ImageSetEncoder) -> None:
    assert encoder(torch.rand(1, 2, 2, 28, 40)).shape == (1, 24)


def test_a_sketch_is_read_row_by_row() -> None:
    torch.manual_seed(0)
    encoder, features = SketchEncoder(9, width=16), torch.randn(4, 9)
    wanted = torch.cat([encoder(row[None]) for row in features])
    torch.testing.assert_close(encoder(features), wanted)
    assert encoder.width == wanted.shape[1] == 16


def both_encoder() -> tuple[BothEncoder, torch.Tensor]:
    torch.manual_seed(0)
    return BothEncoder(9, channels=2, width=24), torch.randn(3, 9)


def test_both_read_samples_as_a_set() -> None:
    encoder, features = both_encoder()
    samples, mask = pictures(3, 6), torch.ones(3, 6)
    mask[1, 4:] = 0
    wanted = encoder((features, samples), mask)
    assert wanted.shape == (3, encoder.width) == (3, 24)
    order = torch.tensor([5, 2, 0, 4, 1, 3])
    torch.testing.assert_close(encoder((features, samples[:, order]), mask[:, order]), wanted, atol=1e-6, rtol=1e-5)
    junk = samples.clone()
    junk[1, 4:] = math.nan
    torch.testing.assert_close(encoder((features, junk), mask), wanted, atol=1e-6, rtol=1e-5)
    for row, size in enumerate((6, 4, 6)):
        alone = encoder((features[row : row + 1], samples[row : row + 1, :size]))
        torch.testing.assert_close(alone[0], wanted[row], atol=1e-6, rtol=1e-5)


def test_both_heed_the_sketch_and_the_samples() -> None:
    encoder, features = both_encoder()
    samples = pictures(3, 4)
    wanted = encoder((features, samples))
    assert (encoder((features.flip(0), samples)) - wanted).abs().max() > 1e-2
    assert (encoder((features, 1 - samples)) - wanted).abs().max() > 1e-4


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_broken_sample_does_not_poison_a_set(encoder: ImageSetEncoder, value: float) -> None:
    samples = pictures(2, 4)
    broken = samples.clone()
    broken[0, 2, 1, 3, 3] = value
    kept = torch.tensor([0, 1, 3])
    found = encoder(broken)
    torch.testing.assert_close(found[0], encoder(samples[:1, kept])[0], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found[1], encoder(samples)[1], atol=1e-6, rtol=1e-5)


def test_samples_as_large_as_floats_get_are_limited(encoder: ImageSetEncoder) -> None:
    huge = torch.full((1, 2, 2, 11, 13), 3e38)
    found = encoder(huge)
    assert found.isfinite().all()
    torch.testing.assert_close(found, encoder(torch.full_like(huge, SAMPLE_LIMIT)))


def test_a_sketch_is_limited_as_devices_limit_theirs() -> None:
    torch.manual_seed(0)
    encoder = SketchEncoder(4, width=16)
    wild = torch.tensor([[math.nan, math.inf, -math.inf, 1e30]])
    assert torch.equal(encoder(wild), encoder(torch.tensor([[0.0, 16.0, -16.0, 16.0]])))


def test_noise_is_added_to_a_sketch_only_while_training() -> None:
    """Behind a layer that passes features on as they are, what was added can be seen."""
    torch.manual_seed(0)
    encoder, features = SketchEncoder(4, width=4, noise=0.5), torch.full((4000, 4), 3.0)
    encoder.net = torch.nn.Identity()
    added = encoder(features) - features
    assert float(added.std()) == pytest.approx(0.5, rel=0.05)
    assert float(added.mean()) == pytest.approx(0, abs=0.02)
    assert torch.equal(encoder.eval()(features), features)
    quiet = SketchEncoder(4, width=4).train()
    assert torch.equal(quiet(features), quiet.eval()(features))
