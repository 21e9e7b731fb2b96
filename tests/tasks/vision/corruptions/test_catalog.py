"""The contract of a corruption, run over every entry of the catalogue."""

from __future__ import annotations

import numpy as np
import pytest

from persona.errors import CatalogError, DataError
from persona.tasks.vision import load_images
from persona.tasks.vision.corruptions import CORRUPTIONS, Corruption, corrupt
from tests.tasks.vision.pictures import one_part, soft

EVERY = pytest.mark.parametrize("name", CORRUPTIONS)
RNG = np.random.default_rng


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return load_images().test.images[:48].astype(np.float32) / 255


def test_there_are_the_fifteen_of_the_benchmark() -> None:
    assert " ".join(CORRUPTIONS) == (
        "gaussian_noise shot_noise impulse_noise defocus_blur glass_blur motion_blur zoom_blur snow frost fog "
        "brightness contrast elastic_transform pixelate jpeg_compression"
    )
    with pytest.raises(TypeError):
        CORRUPTIONS["mine"] = CORRUPTIONS["fog"]  # type: ignore[index]


@EVERY
@pytest.mark.parametrize("shape", [(2, 1, 28, 28), (2, 3, 32, 32), (1, 3, 64, 64), (2, 2, 9, 17), (0, 1, 28, 28)])
def test_shape_type_and_range_are_kept(name: str, shape: tuple[int, int, int, int]) -> None:
    extremes = np.stack([np.zeros(shape[1:]), np.ones(shape[1:])]).astype(np.float32)
    for images in (soft(shape), extremes):
        before = images.copy()
        for severity in (1, 5):
            found = corrupt(images, name, severity, RNG(0))
            assert found.shape == images.shape
            assert found.dtype == np.float32
            assert not images.size or (found.min() >= 0 and found.max() <= 1)
        assert np.array_equal(images, before)


@EVERY
def test_each_severity_is_farther_from_the_picture(name: str, pictures: np.ndarray) -> None:
    away = [np.abs(corrupt(pictures, name, severity, RNG(0)) - pictures).mean() for severity in range(1, 6)]
    assert away[0] > 0.01
    assert away == sorted(away)
    assert len(set(away)) == 5


@EVERY
def test_the_same_dice_give_the_same_pictures(name: str, pictures: np.ndarray) -> None:
    first, second = (corrupt(pictures[:8], name, 3, RNG(7)) for _ in range(2))
    assert np.array_equal(first, second)


@EVERY
def test_a_corruption_is_a_family_whose_strength_is_its_severity(name: str, pictures: np.ndarray) -> None:
    family = CORRUPTIONS[name].family()
    assert (family.split, family.name) == ("held", name)
    for strength, severity in ((0.2, 1), (0.6, 3), (1.0, 5)):
        shown = one_part(family, strength).apply(pictures[:4], RNG(1))
        assert np.array_equal(shown, corrupt(pictures[:4], name, severity, RNG(1)))


def test_other_names_severities_and_images_are_refused() -> None:
    images = soft((1, 1, 8, 8))
    with pytest.raises(CatalogError, match="no corruption 'rain'; there are gaussian_noise"):
        corrupt(images, "rain", 1, RNG(0))
    for severity in (0, 6, 2.5):
        with pytest.raises(DataError, match=f"severity of 'fog' is {severity}"):
            corrupt(images, "fog", severity, RNG(0))  # type: ignore[arg-type]
    for wrong in (images[0], images.astype(np.float64), images + 1, images * np.nan, (255 * images).astype(np.uint8)):
        with pytest.raises(DataError, match="images to corrupt have shape"):
            corrupt(wrong, "fog", 1, RNG(0))
    with pytest.raises(DataError, match="has 2 levels; wanted 5"):
        Corruption("mine", CORRUPTIONS["fog"].formula, ((1.0,), (2.0,)))
