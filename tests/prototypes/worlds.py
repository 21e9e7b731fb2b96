"""Banks, metrics and codes that the tests of prototypes share: small, with answers known by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from persona.bank import Bank

Floats = npt.NDArray[np.float32]

# Numbers of few digits: sums and squares of them are exact, and so are ties.
DYADIC = st.integers(-16, 16).map(lambda n: n / 4)


def line(*values: float) -> Floats:
    """Return codes (N, 1, 2) on the first axis."""
    return np.array([[[value, 0]] for value in values], np.float32)


def bank_of(codes: Any, metric: Any = None, version: int = 1) -> Bank:
    """Return a bank that counts one device at each prototype, and whose map reads the code itself."""
    values = np.asarray(codes, np.float32)
    width = math.prod(values.shape[1:])
    weight, bias = np.eye(width, dtype=np.float32), np.zeros(width, np.float32)
    factor = None if metric is None else np.asarray(metric, np.float32)
    return Bank(values, np.ones(len(values), np.int64), weight, bias, version, factor)


@st.composite
def code_arrays(draw: st.DrawFn, least: int = 1, most: int = 8) -> Any:
    """Draw codes (N, 1, 2) of dyadic numbers."""
    return draw(arrays(np.float32, (draw(st.integers(least, most)), 1, 2), elements=DYADIC))


# None, the first axis alone, and a skewed one.
METRICS = st.sampled_from([None, [[1, 0], [0, 0]], [[2, 0.5], [0.5, 1]]])
