"""Sketch features → code, as one matrix: how a device picks its prototype without asking (method §7).

Ridge regression in closed form (Hoerl and Kennard, Technometrics 1970), on the smaller side of the feature matrix.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from persona.edit import Array
from persona.errors import DataError

# Penalty in units of the features' mean variance: it damps directions in which windows differ by noise alone. With a
# few hundred windows and as many features or more, values from 0.3 to 3 pick prototypes about equally well.
RIDGE = 1.0


def fit_map(features: npt.ArrayLike, codes: npt.ArrayLike, ridge: float = RIDGE) -> tuple[Array, Array]:
    """Return weight (F, n·d) and bias (n·d,) of the map from features (N, F) to codes (N, n, d).

    It minimises ``mean ‖x W + b − c‖² + ridge · v · ‖W‖²``, where v is the mean variance of the features; the bias is
    free. DataError where shapes do not fit, entries are not finite, or the ridge is not positive.
    """
    x, y = _checked(features, codes, ridge)
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    x, y = x - x_mean, y - y_mean
    n, width = x.shape
    penalty = ridge * float(np.mean(x**2)) * n
    if penalty == 0:  # every window has the same features, so that they tell nothing
        weight = np.zeros((width, y.shape[1]))
    elif width <= n:
        weight = np.linalg.solve(x.T @ x + penalty * np.eye(width), x.T @ y)
    else:
        weight = x.T @ np.linalg.solve(x @ x.T + penalty * np.eye(n), y)
    return weight.astype(np.float32), (y_mean - x_mean @ weight).astype(np.float32)


def _checked(
    features: npt.ArrayLike, codes: npt.ArrayLike, ridge: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    x, y = np.asarray(features, np.float64), np.asarray(codes, np.float64)
    if x.ndim != 2 or y.ndim != 3 or len(x) != len(y) or not x.size or not y.size:
        raise DataError(
            f"features have shape {x.shape}, codes {y.shape}; wanted (N, F) and (N, n, d): one code a row of features"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError("features or codes have entries that are not finite; leave those windows out")
    if not 0 < ridge < np.inf:
        raise DataError(f"the ridge is {ridge}; wanted a positive number")
    return x, y.reshape(len(y), -1)
