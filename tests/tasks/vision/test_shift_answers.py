"""Shifts of pictures whose answer is known by hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from persona.tasks.vision import FAMILIES
from tests.tasks.vision.pictures import one_part, soft

PLUS, MINUS = (0.5,), (0.49,)


def _shift(
    name: str, strength: float, images: npt.NDArray[np.float32], parameters: tuple[float, ...] = ()
) -> npt.NDArray[np.float32]:
    return one_part(FAMILIES[name], strength, parameters).apply(images, np.random.default_rng(0))


@pytest.mark.parametrize(("sign", "turns"), [(PLUS, 1), (MINUS, -1)])
def test_rotation_by_a_quarter_is_exact(sign: tuple[float, ...], turns: int) -> None:
    pictures = soft((3, 1, 9, 9))
    turned = _shift("rotation", 0.5, pictures, sign)
    np.testing.assert_allclose(turned, np.rot90(pictures, -turns, axes=(2, 3)), atol=1e-5)


@pytest.mark.parametrize("side", [27, 28])
def test_rotation_by_a_full_circle_is_no_change(side: int) -> None:
    pictures = soft((3, 1, side, side))
    half = _shift("rotation", 1.0, pictures, PLUS)
    np.testing.assert_allclose(half, pictures[:, :, ::-1, ::-1], atol=1e-5)
    np.testing.assert_allclose(_shift("rotation", 1.0, half, PLUS), pictures, atol=1e-5)


def test_rotation_there_and_back_keeps_the_middle() -> None:
    pictures = soft((3, 1, 28, 28))
    back = _shift("rotation", 0.2, _shift("rotation", 0.2, pictures, PLUS), MINUS)
    np.testing.assert_allclose(back[:, :, 9:19, 9:19], pictures[:, :, 9:19, 9:19], atol=0.12)


def test_rotation_fills_with_black() -> None:
    turned = _shift("rotation", 0.25, np.ones((1, 1, 28, 28), dtype=np.float32), PLUS)
    assert turned[0, 0, 0, 0] == turned[0, 0, -1, -1] == 0
    assert turned[0, 0, 14, 14] == pytest.approx(1)


def test_scale_by_two_halves_or_doubles_a_square() -> None:
    square = np.zeros((1, 1, 28, 28), dtype=np.float32)
    square[:, :, 10:18, 10:18] = 1
    assert _shift("scale", 1.0, square, PLUS).sum() == pytest.approx(16, abs=0.1)
    assert _shift("scale", 1.0, square, MINUS).sum() == pytest.approx(256, abs=0.1)


def test_shear_keeps_the_middle_row_and_mass() -> None:
    bar = np.zeros((1, 1, 27, 27), dtype=np.float32)
    bar[:, :, 10:17, 13] = 1
    slanted = _shift("shear", 1.0, bar, (0.5, 0.6))
    np.testing.assert_allclose(slanted[0, 0, 13], bar[0, 0, 13], atol=1e-6)
    assert slanted[0, 0, 16, 13] == 0
    assert slanted.sum() == pytest.approx(bar.sum(), rel=1e-3)


def test_blurs_keep_a_plain_picture_and_spread_a_point_evenly() -> None:
    point = np.zeros((1, 1, 29, 29), dtype=np.float32)
    point[0, 0, 14, 14] = 1
    for name, parameters in (("gaussian_blur", ()), ("motion_blur", (0.0,)), ("pixelate", ())):
        spread = _shift(name, 1.0, point, parameters)
        assert spread.sum() == pytest.approx(1, abs=5e-3)
        assert spread.max() < 0.2
    grey = np.full((1, 1, 28, 28), 0.5, dtype=np.float32)
    np.testing.assert_allclose(_shift("gaussian_blur", 1.0, grey), grey, atol=1e-6)
    np.testing.assert_allclose(_shift("pixelate", 1.0, grey), grey, atol=1e-6)


def test_motion_blur_follows_its_direction() -> None:
    point = np.zeros((1, 1, 29, 29), dtype=np.float32)
    point[0, 0, 14, 14] = 1
    along_rows, along_columns = (_shift("motion_blur", 1.0, point, (turn,))[0, 0] for turn in (0.0, 0.5))
    assert along_rows[14].sum() == pytest.approx(1, abs=1e-5)
    assert along_columns[:, 14].sum() == pytest.approx(1, abs=1e-5)


def test_pixelate_at_full_strength_has_cells_of_seven() -> None:
    pictures = soft((2, 1, 28, 28))
    cells = pictures.reshape(2, 1, 4, 7, 4, 7).mean(axis=(3, 5))
    np.testing.assert_allclose(_shift("pixelate", 1.0, pictures), cells.repeat(7, axis=2).repeat(7, axis=3), atol=1e-5)


def test_invert_at_full_strength_is_the_negative_and_half_way_is_not_flat() -> None:
    pictures = soft((2, 1, 28, 28))
    np.testing.assert_allclose(_shift("invert", 1.0, pictures), 1 - pictures, atol=1e-6)
    assert _shift("invert", 0.5, pictures).std() > 0.1


def test_tone_shifts_do_what_their_names_say() -> None:
    grey = np.full((1, 1, 28, 28), 0.5, dtype=np.float32)
    assert _shift("brightness", 0.5, grey, PLUS).mean() == pytest.approx(0.8)
    assert _shift("brightness", 0.5, grey, MINUS).mean() == pytest.approx(0.2)
    assert _shift("gamma", 0.4, grey, PLUS).mean() == pytest.approx(0.25)
    assert _shift("gamma", 0.4, grey, MINUS).mean() == pytest.approx(0.5**0.5)
    assert _shift("contrast", 1.0, soft((1, 1, 28, 28)), (0.3,)).std() < 0.03


def test_noise_has_the_spread_it_says() -> None:
    grey = np.full((8, 1, 28, 28), 0.5, dtype=np.float32)
    assert _shift("gaussian_noise", 0.2, grey).std() == pytest.approx(0.1, rel=0.05)
    assert _shift("shot_noise", 0.2, grey).std() == pytest.approx(0.16 * 0.5**0.5, rel=0.05)
    lost = _shift("impulse_noise", 0.5, grey)
    assert (lost == 0).mean() == pytest.approx(0.1, abs=0.015)
    assert (lost == 1).mean() == pytest.approx(0.1, abs=0.015)


def test_occlusion_covers_one_patch_with_one_grey() -> None:
    black = np.zeros((2, 1, 20, 20), dtype=np.float32)
    covered = _shift("occlusion", 0.5, black, (0.0, 0.0, 0.7))
    np.testing.assert_allclose(covered[:, :, :6, :6], 0.7, atol=1e-6)
    assert covered[:, :, 6:].max() == covered[:, :, :, 6:].max() == 0


def test_stripes_and_fog_brighten_and_shade_darkens_from_one_side() -> None:
    black, white = np.zeros((1, 1, 28, 28), dtype=np.float32), np.ones((1, 1, 28, 28), dtype=np.float32)
    assert _shift("stripes", 1.0, black, (0.0, 0.5, 0.0)).std() > 0.2
    assert _shift("fog", 1.0, black, (0.1, 0.5, 0.2, 0.9)).mean() > 0.2
    shaded = _shift("shade", 1.0, white, (0.0,))[0, 0]
    np.testing.assert_allclose(shaded, np.broadcast_to(shaded[:1], shaded.shape), atol=1e-6)
    assert np.all(np.diff(shaded[0]) < 0)
