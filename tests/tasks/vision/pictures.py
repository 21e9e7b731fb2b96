"""Small image sets whose pictures can be told apart by hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from persona.tasks.vision import Domain, Family, ImageSet, Part


def numbered(per_class: int, classes: int = 10) -> ImageSet:
    """Picture i is grey level i all over (so at most 256), and classes take turns: its label is i modulo classes."""
    n = per_class * classes
    images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 1, 4, 4)).copy()
    return ImageSet(images, np.arange(n, dtype=np.int64) % classes)


def numbers_of(clean: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Which pictures of `numbered` these are: (..., C, H, W) unshifted to (...)."""
    return np.rint(clean[..., 0, 0, 0] * 255).astype(np.int64)


def soft(shape: tuple[int, int, int, int], seed: int = 0) -> npt.NDArray[np.float32]:
    """Random pictures in [0, 1] without sharp edges, so that a small shift is a small change."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((*shape[:2], -(-shape[2] // 4) + 1, -(-shape[3] // 4) + 1), dtype=np.float32)
    fine = coarse.repeat(4, axis=2).repeat(4, axis=3)
    smooth = sum(fine[:, :, i : i + shape[2], j : j + shape[3]] for i in range(4) for j in range(4)) / 16
    return np.asarray(smooth, dtype=np.float32)


def one_part(family: Family, strength: float, parameters: tuple[float, ...] | None = None) -> Domain:
    """The domain of one family alone; its parameters are 0.7 unless told."""
    return Domain((Part(family, strength, (0.7,) * family.n_parameters if parameters is None else parameters),))
