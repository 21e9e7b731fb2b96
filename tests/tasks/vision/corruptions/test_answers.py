"""Corruptions of pictures whose answer is known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from persona.tasks.vision.corruptions import blur, digital, noise, resampling, weather
from tests.tasks.vision.pictures import soft

RNG = np.random.default_rng
GREY = np.full((1, 3, 64, 64), 0.5, np.float32)


def test_brightness_adds_a_step_to_grey_and_keeps_the_hue_of_colour() -> None:
    grey = np.array([0.0, 0.2, 0.9], np.float32).reshape(1, 1, 1, 3)
    lit = np.clip(weather.brightness(grey, (0.3,), RNG(0)), 0, 1)
    np.testing.assert_allclose(lit.ravel(), [0.3, 0.5, 1.0], atol=1e-6)
    colour = np.array([0.4, 0.2, 0.0], np.float32).reshape(1, 3, 1, 1)
    np.testing.assert_allclose(weather.brightness(colour, (0.2,), RNG(0)).ravel(), [0.6, 0.3, 0.0], atol=1e-6)


def test_contrast_moves_towards_the_mean() -> None:
    picture = np.array([[0.0, 1.0], [0.5, 0.5]], np.float32)[None, None]
    flat = weather.contrast(picture, (0.2,), RNG(0))[0, 0]
    np.testing.assert_allclose(flat, [[0.4, 0.6], [0.5, 0.5]], atol=1e-6)


def test_noises_have_the_spread_of_their_level() -> None:
    assert noise.gaussian_noise(GREY, (0.1,), RNG(0)).std() == pytest.approx(0.1, rel=0.03)
    shot = noise.shot_noise(GREY, (50.0,), RNG(0))
    assert (shot.mean(), shot.std()) == pytest.approx((0.5, math.sqrt(0.5 / 50)), rel=0.03)
    lost = noise.impulse_noise(GREY, (0.2,), RNG(0))
    assert [(lost == value).mean() for value in (0.0, 1.0)] == pytest.approx([0.1, 0.1], abs=0.01)


@pytest.mark.parametrize("formula", [blur.defocus_blur, blur.motion_blur])
def test_blur_keeps_flat_pictures_and_the_light_of_a_point(formula: object) -> None:
    point = np.zeros((1, 1, 33, 33), np.float32)
    point[..., 16, 16] = 1.0
    blurred = formula(point, (4.0,), RNG(0))  # type: ignore[operator]
    assert blurred.sum() == pytest.approx(1.0, abs=1e-5)
    assert blurred.max() < 0.4
    np.testing.assert_allclose(formula(GREY, (4.0,), RNG(0)), GREY, atol=1e-5)  # type: ignore[operator]


def test_a_line_is_as_long_as_it_says_and_lies_where_it_should() -> None:
    kernel = resampling.line(6.0, 0.0)
    assert kernel.sum() == pytest.approx(1.0, abs=1e-6)
    assert kernel[3].sum() == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(resampling.line(6.0, math.pi / 2), kernel.T, atol=1e-6)


def test_a_small_disc_is_a_point_and_a_large_one_is_even() -> None:
    np.testing.assert_allclose(resampling.disc(0.5), np.eye(3)[1][:, None] * np.eye(3)[1], atol=1e-6)
    large = resampling.disc(5.0)
    assert large[5, 5] == pytest.approx(1 / (math.pi * 25), rel=0.03)
    assert large[0, 0] == 0


def test_zoom_leaves_the_middle_and_flat_pictures() -> None:
    picture = soft((1, 1, 33, 33))
    zoomed = blur.zoom_blur(picture, (1.5,), RNG(0))
    assert zoomed[0, 0, 16, 16] == pytest.approx(float(picture[0, 0, 16, 16]), abs=1e-5)
    np.testing.assert_allclose(blur.zoom_blur(GREY, (1.5,), RNG(0)), GREY, atol=1e-5)
    np.testing.assert_allclose(blur.zoom_blur(picture, (1.0,), RNG(0)), picture, atol=1e-5)


@pytest.mark.parametrize("formula", [blur.glass_blur, digital.elastic_transform])
def test_what_moves_pixels_keeps_flat_pictures_and_invents_no_tone(formula: object) -> None:
    np.testing.assert_allclose(formula(GREY, (0.5, 2.0), RNG(0)), GREY, atol=1e-5)  # type: ignore[operator]
    picture = soft((2, 1, 28, 28))
    moved = formula(picture, (0.5, 2.0), RNG(0))  # type: ignore[operator]
    assert picture.min() <= moved.min()
    assert moved.max() <= picture.max() + 1e-5


def test_fog_thins_to_nothing_and_frost_never_darkens_what_it_keeps() -> None:
    picture = soft((2, 3, 32, 32))
    np.testing.assert_allclose(weather.fog(picture, (0.0, 2.0), RNG(0)), picture, atol=1e-6)
    ice = weather.frost(np.zeros_like(picture), (1.0, 1.0), RNG(0))
    assert 0 <= ice.min() < 0.3
    assert 0.5 < ice.max() <= 1
    np.testing.assert_allclose(weather.frost(picture, (0.5, 1.0), RNG(0)), 0.5 * picture + ice, atol=1e-6)


def test_snow_without_flakes_and_whiteness_is_no_change() -> None:
    picture = soft((2, 3, 32, 32))
    np.testing.assert_allclose(weather.snow(picture, (0.0, 3.0, 0.0), RNG(0)), picture, atol=1e-6)
    assert (weather.snow(picture, (0.05, 3.0, 0.0), RNG(0)) >= picture - 1e-5).all()


def test_pixelate_averages_cells() -> None:
    picture = RNG(0).random((1, 1, 32, 32), dtype=np.float32)
    coarse = digital.pixelate(picture, (4.0,), RNG(0))
    means = picture.reshape(1, 1, 8, 4, 8, 4).mean(axis=(3, 5))
    np.testing.assert_allclose(coarse, means.repeat(4, axis=2).repeat(4, axis=3), atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_best_jpeg_is_nearly_the_picture_and_worse_ones_are_farther(channels: int) -> None:
    picture = RNG(0).random((2, channels, 30, 34), dtype=np.float32)
    away = [np.abs(digital.jpeg_compression(picture, (q,), RNG(0)) - picture).max() for q in (100.0, 75.0, 10.0)]
    assert away[0] < 4 / 255
    assert away[0] < away[1] < away[2]


def test_a_flat_block_is_rounded_to_its_first_table_entry() -> None:
    flat = np.full((1, 1, 8, 8), (128 + 4.5) / 255, np.float32)  # eight times 4.5 is 36, and 36 / 16 rounds to 2
    np.testing.assert_allclose(digital.jpeg_compression(flat, (50.0,), RNG(0)) * 255, 128 + 2 * 16 / 8, atol=1e-4)


def test_the_cosine_transform_agrees_with_scipy() -> None:
    fft = pytest.importorskip("scipy.fft")
    block = RNG(0).random((8, 8))
    cosine = digital._cosine()
    np.testing.assert_allclose(cosine @ block @ cosine.T, fft.dctn(block, norm="ortho"), atol=1e-12)


def test_places_between_pixels_are_blended_and_the_border_goes_on() -> None:
    picture = np.array([[0.0, 1.0], [2.0, 3.0]], np.float32)[None, None]
    rows, columns = np.array([[[0.5, -3.0]]], np.float32), np.array([[[0.5, 9.0]]], np.float32)
    wide = np.broadcast_to(rows, (1, 2, 2)), np.broadcast_to(columns, (1, 2, 2))
    np.testing.assert_allclose(resampling.sample_at(picture, *wide)[0, 0], [[1.5, 1.0], [1.5, 1.0]])
