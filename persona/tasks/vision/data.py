"""Labelled images: the shipped Fashion-MNIST subset, or a folder with the same four IDX files."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from persona.errors import DataError
from persona.tasks.vision.idx import read_idx

TRAIN_IMAGES = "train-images-idx3-ubyte.gz"
TRAIN_LABELS = "train-labels-idx1-ubyte.gz"
TEST_IMAGES = "t10k-images-idx3-ubyte.gz"
TEST_LABELS = "t10k-labels-idx1-ubyte.gz"
VALIDATION_STRIDE = 10  # every tenth image of each class is held back from training


@dataclass(frozen=True, eq=False)
class ImageSet:
    """N images, grey or coloured, with one class each. Raises DataError where the two arrays do not fit."""

    images: npt.NDArray[np.uint8]  # (N, C, H, W)
    labels: npt.NDArray[np.int64]  # (N,)

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != np.uint8:
            raise DataError(
                f"images have shape {self.images.shape} and type {self.images.dtype}; wanted (N, C, H, W) uint8: "
                f"reshape them, and scale floats by 255"
            )
        if self.labels.shape != self.images.shape[:1] or self.labels.dtype != np.int64:
            raise DataError(
                f"labels have shape {self.labels.shape} and type {self.labels.dtype}; wanted "
                f"({len(self.images)},) int64: one class per image"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: npt.NDArray[np.intp]) -> ImageSet:
        """The images at `indices`, in that order."""
        return ImageSet(self.images[indices], self.labels[indices])


@dataclass(frozen=True, eq=False)
class VisionData:
    """Three disjoint image sets: learn from the first, choose by the second, report on the third."""

    train: ImageSet
    validation: ImageSet
    test: ImageSet


def load_images(folder: Path | None = None) -> VisionData:
    """The four IDX files of `folder`, or of the shipped subset (10,000 + 2,000 images) where it is None.

    A tenth of the training file becomes the validation set, the same images every time and as many of each class.
    Raises DataError where a file is absent, damaged, or does not fit the others.
    """
    source = _source(folder)
    train = _read_pair(source, TRAIN_IMAGES, TRAIN_LABELS)
    return hold_back(train, _read_pair(source, TEST_IMAGES, TEST_LABELS))


def hold_back(train: ImageSet, test: ImageSet) -> VisionData:
    """Every tenth training image of each class becomes the validation set, the same images every time."""
    held_back = every_nth_of_each(train.labels, VALIDATION_STRIDE)
    return VisionData(train.take(np.flatnonzero(~held_back)), train.take(np.flatnonzero(held_back)), test)


def load_test_images(folder: Path | None = None) -> ImageSet:
    """The test set alone: a device that streams it needs no room for the training set.

    Raises DataError as `load_images` does.
    """
    return _read_pair(_source(folder), TEST_IMAGES, TEST_LABELS)


def _source(folder: Path | None) -> Traversable:
    source: Traversable = files("persona.tasks.vision").joinpath("fashion_mnist") if folder is None else folder
    if not source.is_dir():
        raise DataError(f"data folder {source} does not exist; wanted a folder with {TRAIN_IMAGES} and three more")
    return source


def _read_pair(folder: Traversable, images_name: str, labels_name: str) -> ImageSet:
    images = read_idx(folder.joinpath(images_name), axes=3)
    labels = read_idx(folder.joinpath(labels_name), axes=1)
    if len(images) != len(labels):
        raise DataError(
            f"data folder {folder} has {len(images)} images in {images_name} but {len(labels)} labels in "
            f"{labels_name}; wanted one label per image: take both files from the same release"
        )
    return ImageSet(images[:, None], labels.astype(np.int64))


def every_nth_of_each(labels: npt.NDArray[np.int64], stride: int) -> npt.NDArray[np.bool_]:
    """Which of N samples are the n-th, 2n-th, … with their label (N,)."""
    chosen = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        chosen[np.flatnonzero(labels == label)[stride - 1 :: stride]] = True
    return chosen
