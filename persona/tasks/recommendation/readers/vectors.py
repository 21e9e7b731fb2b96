"""Item vectors from an npz file: ids beside a matrix, read without pickle."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from persona.errors import DataError

LARGEST_BYTES = 1 << 31  # of one array


def read_vectors(file: Path, ids: str = "item_id", matrix: str = "emb") -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The array `ids` (M,) and the array `matrix` (M, D) of a file.

    DataError where it is absent or damaged, lacks one of them, or one is over 2 GiB.
    """
    try:
        with zipfile.ZipFile(file) as members:
            sizes = {member.filename.removesuffix(".npy"): member.file_size for member in members.infolist()}
        if not {ids, matrix} <= set(sizes) or max(sizes[ids], sizes[matrix]) > LARGEST_BYTES:
            raise DataError(
                f"data file {file} has arrays of bytes {sizes}; wanted {ids!r} and {matrix!r}, each at most "
                f"{LARGEST_BYTES}"
            )
        with np.load(file, allow_pickle=False) as arrays:
            names, vectors = np.asarray(arrays[ids]), np.asarray(arrays[matrix])
    except (OSError, EOFError, ValueError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"data file {file} cannot be read as npz ({error}): replace it") from error
    if names.ndim != 1 or vectors.ndim != 2 or len(names) != len(vectors) or vectors.dtype.kind != "f":
        raise DataError(f"data file {file} has {names.shape} ids and {vectors.shape} {vectors.dtype}; wanted rows")
    return names, vectors
