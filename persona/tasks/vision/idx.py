"""Reader for gzipped IDX files, the container MNIST and Fashion-MNIST are published in.

Format: two zero bytes, a type byte (8 = unsigned byte), the number of axes, one big-endian uint32 per axis, the data.
Source: http://yann.lecun.com/exdb/mnist/ ("The IDX file format").
"""

from __future__ import annotations

import gzip
import math
import zlib
from importlib.resources.abc import Traversable

import numpy as np
import numpy.typing as npt

from persona.errors import DataError

UNSIGNED_BYTE = 8
CHUNK_BYTES = 1 << 20
REPLACE = "replace the file with an undamaged copy"


def read_idx(file: Traversable, axes: int) -> npt.NDArray[np.uint8]:
    """The array in `file`, which must be gzipped IDX of unsigned bytes with `axes` axes.

    Raises DataError where the file is absent, damaged, or holds something else.
    """
    try:
        with file.open("rb") as raw, gzip.GzipFile(fileobj=raw, mode="rb") as stream:
            shape = _read_header(file, stream.read(4 + 4 * axes), axes)
            wanted = math.prod(shape)
            data = _read_at_most(stream, wanted + 1)  # one more than wanted, so that trailing bytes are noticed
    except FileNotFoundError:
        raise DataError(f"data file {file} does not exist; wanted a gzipped IDX file: check the folder") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"data file {file} cannot be read as gzip ({error}): {REPLACE}") from error
    if len(data) != wanted:
        found = f"only {len(data)}" if len(data) < wanted else "more"
        raise DataError(f"data file {file} says shape {shape} ({wanted} bytes) but holds {found} bytes: {REPLACE}")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _read_header(file: Traversable, header: bytes, axes: int) -> tuple[int, ...]:
    magic = bytes((0, 0, UNSIGNED_BYTE, axes))
    if len(header) != 4 + 4 * axes or header[:4] != magic:
        raise DataError(
            f"data file {file} starts with {header[:4].hex()!r}; wanted {magic.hex()!r} (IDX of unsigned bytes with "
            f"{axes} axes) and {axes} sizes: {REPLACE}"
        )
    return tuple(int.from_bytes(header[at : at + 4], "big") for at in range(4, len(header), 4))


def _read_at_most(stream: gzip.GzipFile, size: int) -> bytes:
    """In chunks, because a header may lie about the size and one read would set that much memory aside."""
    chunks: list[bytes] = []
    while size > 0 and (chunk := stream.read(min(size, CHUNK_BYTES))):
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)
