"""USPS digits in the frame of MNIST."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from persona.errors import DataError
from persona.tasks.vision.usps import in_frame_of_mnist, read_usps
from tests.tasks.vision.packing import pack


def test_a_digit_is_stretched_into_the_middle() -> None:
    digits = np.full((2, 16, 16), 200, np.uint8)
    framed = in_frame_of_mnist(digits)
    assert framed.shape == (2, 1, 28, 28)
    assert (framed[:, 0, 4:24, 4:24] == 200).all()
    assert framed.sum(dtype=np.int64) == 2 * 200 * 20 * 20


def test_a_slope_stays_straight() -> None:
    slope = np.broadcast_to((10 * np.arange(16)).astype(np.uint8), (1, 16, 16))
    row = in_frame_of_mnist(slope)[0, 0, 14, 4:24].astype(int)
    assert row[[0, -1]].tolist() == [0, 150]
    assert np.abs(np.diff(row)[1:-1] - 8).max() <= 1  # sixteen pixels of 10 are twenty of 8


def test_the_first_place_that_exists_is_read(tmp_path: Path) -> None:
    there = pack(
        tmp_path / "b.npz", {"x_test": np.zeros((3, 16, 16), np.uint8), "y_test": np.arange(3, dtype=np.uint8)}
    )
    assert read_usps([tmp_path / "a.npz", there]).labels.tolist() == [0, 1, 2]


def test_no_file_and_another_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"in none of .*a\.npz"):
        read_usps([tmp_path / "a.npz"])
    file = pack(tmp_path / "c.npz", {"x_test": np.zeros((3, 8, 8), np.uint8), "y_test": np.arange(3)})
    with pytest.raises(DataError, match=r"c\.npz holds \(3, 8, 8\)"):
        read_usps([file])


def test_the_real_digits_are_as_many_and_as_bright_as_published(shared_data: Path) -> None:
    digits = read_usps([shared_data / "usps" / "usps.npz"])
    assert digits.images.shape == (2007, 1, 28, 28)
    assert len(np.unique(digits.labels)) == 10
    assert 0.1 < (digits.images / 255).mean() < 0.17  # MNIST has 0.13: white on black, as there
