"""The contract of a shift family, run over every entry of the catalogue."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona.tasks.vision import FAMILIES, HELD, SEEN, Family
from tests.tasks.vision.pictures import one_part, soft

NOISE = ("gaussian_noise", "impulse_noise", "shot_noise")
EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES.keys())
NUMBERS = st.lists(st.floats(0, 1, exclude_max=True), min_size=4, max_size=4)
FEW = settings(max_examples=20)  # for each family of the catalogue
STRENGTHS = st.floats(0, 1, exclude_min=True)


def _shifted(family: Family, strength: float, numbers: list[float], images: np.ndarray | None = None) -> np.ndarray:
    domain = one_part(family, strength, tuple(numbers[: family.n_parameters]))
    return domain.apply(soft((4, 1, 28, 28)) if images is None else images, np.random.default_rng(1))


def test_seen_and_held_share_nothing_and_cover_the_catalogue() -> None:
    assert set(SEEN) | set(HELD) == set(FAMILIES)
    assert not set(SEEN) & set(HELD)
    assert "rotation" in SEEN
    assert sum(FAMILIES[name].kind == "photometric" for name in SEEN) >= 8
    assert len(HELD) >= 4


def test_catalogue_cannot_be_changed_from_outside() -> None:
    with pytest.raises(TypeError):
        FAMILIES["mine"] = FAMILIES["fog"]  # type: ignore[index]


@EVERY_FAMILY
@FEW
@given(strength=STRENGTHS, numbers=NUMBERS)
def test_result_is_an_image_batch_in_range(family: Family, strength: float, numbers: list[float]) -> None:
    extremes = np.stack([np.zeros((1, 28, 28)), np.ones((1, 28, 28)), np.eye(28)[None]]).astype(np.float32)
    for images in (soft((2, 1, 28, 28)), extremes):
        shifted = _shifted(family, strength, numbers, images)
        assert shifted.shape == images.shape
        assert shifted.dtype == np.float32
        assert np.isfinite(shifted).all()
        assert shifted.min() >= 0
        assert shifted.max() <= 1 + np.finfo(np.float32).eps  # a division by the largest tone may round up


@EVERY_FAMILY
@FEW
@given(numbers=NUMBERS)
def test_no_strength_is_no_change(family: Family, numbers: list[float]) -> None:
    pictures = soft((4, 1, 28, 28))
    changes = [np.abs(_shifted(family, strength, numbers) - pictures).mean() for strength in (1e-2, 1e-4, 1e-6)]
    assert changes[0] < 0.1
    assert changes[1] < 1e-3
    assert changes[2] < 1e-5


@EVERY_FAMILY
@FEW
@given(numbers=NUMBERS)
def test_full_strength_really_changes_images(family: Family, numbers: list[float]) -> None:
    assert np.abs(_shifted(family, 1.0, numbers) - soft((4, 1, 28, 28))).mean() > 0.03


@EVERY_FAMILY
@FEW
@given(strength=st.floats(0.01, 0.999), numbers=NUMBERS)
def test_strength_is_continuous(family: Family, strength: float, numbers: list[float]) -> None:
    near = _shifted(family, strength + 1e-4, numbers)
    assert np.abs(near - _shifted(family, strength, numbers)).mean() < 5e-3


@EVERY_FAMILY
def test_input_is_left_alone(family: Family) -> None:
    pictures = soft((2, 1, 28, 28))
    before = pictures.copy()
    _shifted(family, 0.8, [0.3] * 4, pictures)
    assert np.array_equal(pictures, before)


@EVERY_FAMILY
def test_colour_and_oblong_images_are_shifted_channel_by_channel(family: Family) -> None:
    pictures = soft((3, 2, 12, 20))
    shifted = _shifted(family, 0.8, [0.3] * 4, pictures)
    assert shifted.shape == pictures.shape
    if family.name not in NOISE:
        alone = _shifted(family, 0.8, [0.3] * 4, pictures[:, 1:])
        np.testing.assert_allclose(shifted[:, 1:], alone, atol=1e-6)


@EVERY_FAMILY
def test_all_images_of_a_domain_are_treated_alike(family: Family) -> None:
    domain, pictures = one_part(family, 0.8), soft((6, 1, 28, 28))
    together = domain.apply(pictures, np.random.default_rng(1))
    again = domain.apply(pictures, np.random.default_rng(2))
    if family.name in NOISE:
        assert not np.array_equal(together, again)
        return
    assert np.array_equal(together, again)
    alone = [domain.apply(pictures[i : i + 1], np.random.default_rng(3)) for i in range(6)]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-6)


@EVERY_FAMILY
def test_its_numbers_matter(family: Family) -> None:
    if not family.n_parameters:
        return
    low, high = (_shifted(family, 0.8, [number] * 4) for number in (0.1, 0.8))
    assert np.abs(low - high).mean() > 0.01


@EVERY_FAMILY
@pytest.mark.parametrize("side", [32, 64])
def test_colour_pictures_are_shifted_channel_by_channel(family: Family, side: int) -> None:
    pictures = soft((2, 3, side, side))
    shifted = _shifted(family, 0.6, [0.7, 0.2, 0.6, 0.4], pictures)
    assert shifted.shape == pictures.shape
    assert shifted.min() >= 0
    assert shifted.max() <= 1
    if family.name not in NOISE:  # noise is drawn for each channel
        for channel in range(3):
            alone = _shifted(family, 0.6, [0.7, 0.2, 0.6, 0.4], pictures[:, channel : channel + 1])
            np.testing.assert_allclose(shifted[:, channel : channel + 1], alone, atol=1e-6)
