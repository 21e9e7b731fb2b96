"""Reader for packed photographs: one npz file with all JPEG files end to end, where each begins, and its class.

Arrays: `jpeg` (bytes) uint8, `offset` (N + 1) integers from 0 to the number of bytes, `label` (N,), `class_names` (K,);
where pictures come from several domains also `domain` (N,) and `domain_names` (D,).
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from persona.errors import DataError
from persona.tasks.vision.data import ImageSet

if TYPE_CHECKING:
    from types import ModuleType

LARGEST_ARRAY_BYTES = 1 << 30
REPLACE = "replace the file with an undamaged copy"
# What reading a damaged archive raises; an encrypted member, or one packed in a way that is unknown, is a RuntimeError.
DAMAGE = (OSError, EOFError, ValueError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error)

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Packed:
    """The pictures of a file, RGB, and the domain of each: (N,), all 0 where the file names none."""

    pictures: ImageSet
    domains: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    domain_names: tuple[str, ...]


def read_packed(file: Path, side: int, *, with_domains: bool = False) -> Packed:
    """The pictures (N, 3, side, side) of `file`.

    Raises DataError where the file is absent, damaged or holds other pictures, or Pillow is not installed.
    """
    wanted = ["jpeg", "offset", "label", "class_names", *(["domain", "domain_names"] if with_domains else [])]
    arrays = read_arrays(file, wanted)
    offset = _checked_offsets(file, arrays["jpeg"], arrays["offset"])
    count = len(offset) - 1
    class_names = _names(file, arrays["class_names"])
    labels = _checked_numbers(file, "label", arrays["label"], (count, len(class_names)))
    domain_names: tuple[str, ...] = ("only",)
    domains = np.zeros(count, np.int64)
    if with_domains:
        domain_names = _names(file, arrays["domain_names"])
        domains = _checked_numbers(file, "domain", arrays["domain"], (count, len(domain_names)))
    images = _decode(file, arrays["jpeg"].tobytes(), offset, side)
    return Packed(ImageSet(images, labels), domains, class_names, domain_names)


def read_arrays(file: Path, wanted: Sequence[str]) -> dict[str, Array]:
    """The arrays `wanted` of an npz file, without pickle. DataError where one is absent, damaged, or over 1 GiB."""
    try:
        with zipfile.ZipFile(file) as members:
            sizes = {member.filename.removesuffix(".npy"): member.file_size for member in members.infolist()}
        missing = [name for name in wanted if name not in sizes]
        if missing:
            raise DataError(
                f"data file {file} has the arrays {sorted(sizes)}; wanted also {missing}: is it another file?"
            )
        for name in wanted:
            if sizes[name] > LARGEST_ARRAY_BYTES:
                raise DataError(
                    f"array {name!r} of data file {file} has {sizes[name]} bytes; wanted at most "
                    f"{LARGEST_ARRAY_BYTES}: {REPLACE}"
                )
        with np.load(file, allow_pickle=False) as arrays:
            return {name: np.asarray(arrays[name]) for name in wanted}
    except FileNotFoundError:
        raise DataError(f"data file {file} does not exist; wanted an npz file: check the folder") from None
    except DAMAGE as error:
        raise DataError(f"data file {file} cannot be read as npz ({error}): {REPLACE}") from error


def _checked_offsets(file: Path, jpeg: Array, offset: Array) -> list[int]:
    if jpeg.dtype != np.uint8 or jpeg.ndim != 1 or offset.ndim != 1 or offset.dtype.kind not in "iu" or len(offset) < 2:
        raise DataError(
            f"data file {file} has jpeg {jpeg.shape} {jpeg.dtype} and offset {offset.shape} {offset.dtype}; wanted "
            f"bytes in a row and where at least one picture begins and ends: {REPLACE}"
        )
    places: list[int] = offset.tolist()
    rising = all(start < end for start, end in pairwise(places))
    if places[0] != 0 or places[-1] != len(jpeg) or not rising:
        raise DataError(
            f"data file {file} has pictures from byte {places[0]} to {places[-1]} of {len(jpeg)}; wanted offsets that "
            f"rise from 0 to the end: {REPLACE}"
        )
    return places


def _checked_numbers(file: Path, name: str, numbers: Array, size: tuple[int, int]) -> npt.NDArray[np.int64]:
    count, below = size
    if numbers.shape != (count,) or numbers.dtype.kind not in "iu" or numbers.min() < 0 or numbers.max() >= below:
        raise DataError(
            f"array {name!r} of data file {file} is {numbers.shape} {numbers.dtype}; wanted ({count},) whole numbers "
            f"in 0..{below - 1}: {REPLACE}"
        )
    return numbers.astype(np.int64)


def _names(file: Path, names: Array) -> tuple[str, ...]:
    if names.ndim != 1 or names.dtype.kind != "U" or not len(names):
        raise DataError(f"data file {file} has names {names.shape} {names.dtype}; wanted a row of text: {REPLACE}")
    return tuple(str(name) for name in names)


def _decode(file: Path, jpeg: bytes, offset: Sequence[int], side: int) -> npt.NDArray[np.uint8]:
    pillow = _pillow()
    images = np.empty((len(offset) - 1, 3, side, side), np.uint8)
    for number, (start, end) in enumerate(pairwise(offset)):
        try:
            with pillow.open(io.BytesIO(jpeg[start:end]), formats=("JPEG",)) as picture:
                if picture.size != (side, side):  # known before anything is decoded
                    raise DataError(
                        f"picture {number} of data file {file} is {picture.size[0]} x {picture.size[1]}; "
                        f"wanted {side} x {side}: is it another file?"
                    )
                images[number] = np.asarray(picture.convert("RGB")).transpose(2, 0, 1)
        except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError) as error:
            raise DataError(f"picture {number} of data file {file} is no sound JPEG ({error}): {REPLACE}") from error
    return images


def _pillow() -> ModuleType:
    try:
        from PIL import Image
    except ImportError:
        raise DataError(
            "this data set holds JPEG pictures and Pillow is not installed: pip install 'persona-edge[bench]'"
        ) from None
    return Image
