"""Packed photographs: sound ones, and files that lie."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from persona.errors import DataError
from persona.tasks.vision.packed import read_arrays, read_packed
from tests.tasks.vision.packing import arrays_of, pack


def test_pictures_classes_and_domains_are_those_packed(tmp_path: Path) -> None:
    packed = read_packed(pack(tmp_path / "a.npz", arrays_of(8, 6, 3, ("near", "far"))), 8, with_domains=True)
    assert packed.pictures.images.shape == (6, 3, 8, 8)
    assert packed.pictures.images[:, :, 4, 4].tolist() == [[3 * i] * 3 for i in range(6)]
    assert packed.pictures.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert packed.domains.tolist() == [0, 0, 0, 1, 1, 1]
    assert (packed.class_names, packed.domain_names) == (("class 0", "class 1", "class 2"), ("near", "far"))


def test_without_domains_all_pictures_are_of_one(tmp_path: Path) -> None:
    packed = read_packed(pack(tmp_path / "a.npz", arrays_of(8, 3)), 8)
    assert packed.domains.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"jpeg": None}, r"wanted also \['jpeg'\]"),
        ({"domain": None}, r"wanted also \['domain'\]"),
        ({"offset": np.array([0, 5, 3, 10**9])}, "offsets that rise from 0"),
        ({"offset": np.array([0, 10**12])}, "offsets that rise from 0"),
        ({"offset": np.array([-5, 10])}, "offsets that rise from 0"),
        ({"offset": np.array([0.0, 10.0])}, "at least one picture begins and ends"),
        ({"offset": np.array([0])}, "at least one picture begins and ends"),
        ({"jpeg": np.zeros((2, 2), np.uint8)}, "wanted bytes in a row"),
        ({"label": np.zeros(3, np.uint8)}, r"wanted \(4,\) whole numbers in 0..1"),
        ({"label": np.full(4, 9, np.uint8)}, r"whole numbers in 0..1"),
        ({"label": np.full(4, -1)}, r"whole numbers in 0..1"),
        ({"domain": np.zeros(4)}, r"'domain' .*whole numbers"),
        ({"class_names": np.array([1, 2])}, "a row of text"),
        ({"class_names": np.array([{}, {}], dtype=object)}, "cannot be read as npz"),
    ],
)
def test_a_file_that_lies_is_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    arrays = {**arrays_of(8, 4, 2, ("near", "far")), **changed}
    file = pack(tmp_path / "lying.npz", {name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(DataError, match=message) as caught:
        read_packed(file, 8, with_domains=True)
    assert "lying.npz" in str(caught.value)


def test_a_picture_that_is_no_jpeg_is_named(tmp_path: Path) -> None:
    arrays = arrays_of(8, 3)
    jpeg = arrays["jpeg"].copy()
    jpeg[arrays["offset"][1] :] = 0
    with pytest.raises(DataError, match=r"picture 1 of data file .*no sound JPEG"):
        read_packed(pack(tmp_path / "a.npz", {**arrays, "jpeg": jpeg}), 8)


def test_a_picture_that_breaks_off_is_named(tmp_path: Path) -> None:
    arrays = arrays_of(8, 2)
    cut = int(arrays["offset"][2]) - 30
    short = {**arrays, "jpeg": arrays["jpeg"][:cut], "offset": np.array([0, arrays["offset"][1], cut])}
    with pytest.raises(DataError, match=r"picture 1 of data file .*no sound JPEG"):
        read_packed(pack(tmp_path / "a.npz", short), 8)


def test_pictures_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"picture 0 of data file .* is 8 x 8; wanted 16 x 16"):
        read_packed(pack(tmp_path / "a.npz", arrays_of(8, 2)), 16)


@pytest.mark.parametrize("kept", [0, 1, 100, -40])
def test_a_file_that_breaks_off_is_refused(tmp_path: Path, kept: int) -> None:
    file = pack(tmp_path / "a.npz", arrays_of(8, 3))
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(DataError, match="cannot be read as npz"):
        read_packed(file, 8)


def test_flipped_bits_are_refused(tmp_path: Path) -> None:
    file = pack(tmp_path / "a.npz", arrays_of(8, 3))
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 3] ^= 0xFF
    file.write_bytes(damaged)
    with pytest.raises(DataError, match=r"a\.npz"):
        read_packed(file, 8)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.npz does not exist"):
        read_arrays(tmp_path / "none.npz", ["x"])


def test_without_pillow_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match=r"persona-edge\[bench\]"):
        read_packed(pack(tmp_path / "a.npz", arrays_of_one()), 8)


def arrays_of_one() -> dict[str, Any]:
    return {"jpeg": np.zeros(4, np.uint8), "offset": np.array([0, 4]), "label": np.array([0]), "class_names": ["only"]}
