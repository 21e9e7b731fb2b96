"""Requests as a device makes them, for the tiny bundle."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from persona.bundle import Bundle
from persona.wire import CONTENT_TYPE, AdaptRequest

HEADERS = {"content-type": CONTENT_TYPE}


def features(*first: float, at: dict[int, float] | None = None) -> npt.NDArray[np.float32]:
    """Return 8 features: the first as given, others zero, or as `at` says."""
    values = np.zeros(8, np.float32)
    values[: len(first)] = first
    for index, value in (at or {}).items():
        values[index] = value
    return values


def sketch_request(bundle: Bundle, values: npt.ArrayLike, count: int = 8) -> bytes:
    return AdaptRequest(bundle.fingerprint, "sketch", np.asarray(values), count).encode()


def samples_request(bundle: Bundle, values: npt.ArrayLike) -> bytes:
    array = np.asarray(values)
    return AdaptRequest(bundle.fingerprint, "samples", array, len(array)).encode()
