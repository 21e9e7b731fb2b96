"""The Gram metric: codes are as far apart as their edits are, without ever decoding one (method §5).

Before its bound a decoder is (nearly) linear in the code, with Jacobian J_t for tensor t, so that
``‖Δ − Δ'‖² = (c − c') G (c − c')ᵀ`` with ``G = Σ_t J_t J_tᵀ``. A factor L with ``L Lᵀ = G`` turns it into Euclid's
distance of the codes ``c L``: clustering and assignment stay what they are.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from persona.decoder import Decoder, Part
from persona.edit import Array
from persona.errors import DataError

Float64 = npt.NDArray[np.float64]


def gram_matrix(decoder: Decoder, codes: npt.ArrayLike, *, relative: bool = False) -> Float64:
    """Return G (n·d, n·d) at the mean of codes (N, n, d): one block a row of the code, one for all that is shared.

    Exact for dense parts within the linear range of the bound; kernel parts, bilinear in the code, are linearised at
    the mean: good for codes around it, little better than Euclid for codes far apart. `relative` measures each tensor
    by its size, ``‖Δ_t‖² / ‖W_t‖²`` (up to ρ², since bound² · size is ρ² ‖W_t‖²). DataError where codes do not fit the
    decoder, are none or not finite.
    """
    values = np.asarray(codes, np.float64)
    if values.ndim != 3 or values.shape[1:] != decoder.code_shape or not len(values):
        raise DataError(
            f"codes for a metric have shape {values.shape}, this decoder needs (N, *{decoder.code_shape}), N at least 1"
        )
    if not np.isfinite(values).all():
        raise DataError("codes for a metric have entries that are not finite; leave them out")
    rows, width = decoder.code_shape
    mean, blocks = values.mean(axis=0), np.zeros((rows, width, width))
    for index, layer in enumerate(decoder.spec.layers):
        row = index if rows > 1 else 0
        for tensor in layer.tensors:
            jacobian = _jacobian(decoder.parts[tensor.name], mean[row])
            blocks[row] += jacobian @ jacobian.T / (tensor.bound**2 * tensor.size if relative else 1.0)
    gram = np.zeros((rows, width, rows, width))
    gram[np.arange(rows), :, np.arange(rows), :] = blocks
    return gram.reshape(rows * width, rows * width)


def metric_factor(gram: npt.ArrayLike) -> Array:
    """Return the symmetric L (D, D) float32 with ``L Lᵀ = G``: ``‖(c − c') L‖`` is the distance under G (D, D).

    DataError where G is not a symmetric matrix without negative directions, or is zero: no code differs from another.
    """
    matrix = np.asarray(gram, np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.isfinite(matrix).all():
        raise DataError(f"a Gram matrix of shape {matrix.shape} is not square and finite; take it from `gram_matrix`")
    largest = float(np.abs(matrix).max(initial=0.0))
    if largest == 0:
        raise DataError("a Gram matrix is zero: the decoder makes one edit of all codes; train it, or use Euclid's")
    values, vectors = np.linalg.eigh(matrix)
    if not np.allclose(matrix, matrix.T, rtol=0, atol=1e-9 * largest) or values.min() < -1e-9 * len(matrix) * largest:
        raise DataError("a Gram matrix is not symmetric and positive; take it from `gram_matrix`")
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T, np.float32)


def flattened(codes: npt.ArrayLike, metric: Array | None) -> Float64:
    """Return codes (N, n, d) as rows (N, n·d) that Euclid's distance measures as the metric (n·d, n·d) measures codes.

    DataError where the metric is of another width.
    """
    values = np.asarray(codes, np.float64)
    rows = values.reshape(len(values), math.prod(values.shape[1:]))
    if metric is None:
        return rows
    width = rows.shape[1]
    if metric.shape != (width, width):
        raise DataError(f"a metric has shape {metric.shape}; codes of shape {values.shape} need ({width}, {width})")
    return np.asarray(rows @ metric.astype(np.float64), np.float64)


def _jacobian(part: Part, z: Float64) -> Float64:
    """Return d delta / d z (d, size) by central differences, which are exact for maps of second degree, as all are."""
    return np.stack([(part(z + step) - part(z - step)) / 2 for step in np.eye(len(z))])
