"""Make the shipped Fashion-MNIST subset: the first images of each class, in file order, as gzipped IDX files.

The same source gives the same bytes on every run with the same zlib: no names and no times are written into the files.

    python scripts/make_fashion_mnist_subset.py --source FOLDER --out persona/tasks/vision/fashion_mnist
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from persona.tasks.vision.data import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from persona.tasks.vision.idx import UNSIGNED_BYTE, read_idx

PARTS = ((TRAIN_IMAGES, TRAIN_LABELS, 1000), (TEST_IMAGES, TEST_LABELS, 200))


def main() -> None:
    """Read the four files of --source and write four smaller ones and their checksums to --out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="folder with the four original files")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    sums = []
    for images_name, labels_name, per_class in PARTS:
        labels = read_idx(arguments.source / labels_name, axes=1)
        kept = first_of_each_class(labels, per_class)
        images = read_idx(arguments.source / images_name, axes=3)
        for name, array in ((images_name, images[kept]), (labels_name, labels[kept])):
            packed = gzip.compress(idx_bytes(array), compresslevel=9, mtime=0)
            write(arguments.out / name, packed)
            sums.append(f"{hashlib.sha256(packed).hexdigest()}  {name}\n")
    write(arguments.out / "SHA256SUMS", "".join(sorted(sums)).encode())


def first_of_each_class(labels: npt.NDArray[np.uint8], per_class: int) -> npt.NDArray[np.intp]:
    """Positions of the first `per_class` images of every class, in file order."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:per_class] for label in np.unique(labels)]))


def idx_bytes(array: npt.NDArray[np.uint8]) -> bytes:
    """The array as IDX: magic, sizes, data."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes((0, 0, UNSIGNED_BYTE, array.ndim)) + sizes + array.tobytes()


def write(path: Path, content: bytes) -> None:
    """Write under a temporary name first, so that a file is whole or absent."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


if __name__ == "__main__":
    main()
