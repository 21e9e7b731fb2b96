"""Encoders of sets: neither order, padding nor batch-mates matter."""

from __future__ import annotations

import pytest
import torch

from persona.adapters import ImageSetEncoder, SketchEncoder


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


@pytest.mark.parametrize("junk", [0.0, 1.0, -1e3])
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
