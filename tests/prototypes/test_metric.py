"""The Gram metric: worked by hand, equal to explicit distances of edits where that is exact, and in step with them."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona.decoder import Decoder, DensePart, KernelPart, Part
from persona.errors import DataError
from persona.prototypes.metric import flattened, gram_matrix, metric_factor
from persona.spec import LayerSpec, ModelSpec, TensorSpec
from tests.tiny_bundles import SPEC, tiny_decoder


def spec_of(bound: float) -> ModelSpec:
    return ModelSpec(
        (
            LayerSpec("norm", "norm", (TensorSpec("norm.scale", (5,), bound),)),
            LayerSpec(
                "head", "linear", (TensorSpec("head.weight", (3, 4), bound), TensorSpec("head.bias", (3,), bound))
            ),
        )
    )


def drawn(rng: np.random.Generator, *shape: int) -> Any:
    return rng.normal(size=shape).astype(np.float32)


def dense_decoder(rng: np.random.Generator, rows: int, bound: float) -> Decoder:
    spec = spec_of(bound)
    parts: dict[str, Part] = {t.name: DensePart(drawn(rng, 3, t.size), drawn(rng, t.size)) for t in spec.tensors}
    return Decoder(spec, parts, (rows, 3))


def kernel_decoder(rng: np.random.Generator, bound: float) -> Decoder:
    decoder = dense_decoder(rng, 1, bound)
    kernel = KernelPart(drawn(rng, 3, 6), drawn(rng, 6), drawn(rng, 3, 8), drawn(rng, 8), 2)
    return Decoder(decoder.spec, {**decoder.parts, "head.weight": kernel}, (1, 3))


def pair_distances(decoder: Decoder, codes: Any, factor: Any) -> tuple[list[float], list[float]]:
    """Return the distances of consecutive codes, as their edits have them and as the metric says."""
    edits = [decoder.decode(code) for code in codes]
    explicit = [a.distance(b) for a, b in pairwise(edits)]
    return explicit, np.linalg.norm(np.diff(flattened(codes, factor), axis=0), axis=1).tolist()


def test_blocks_by_hand() -> None:
    """Row 0: P = I in two of three columns. Row 1: bias P = I, and U Vᵀ = zᵀ(1, 2, 3), so 1 + 1 + 4 + 9 = 15."""
    gram = gram_matrix(tiny_decoder(), np.zeros((1, 2, 2)))
    assert gram.tolist() == np.diag([1.0, 1, 15, 15]).tolist()
    relative = gram_matrix(tiny_decoder(), np.zeros((1, 2, 2)), relative=True)
    head = 14 / (2.0**2 * 6) + 1 / (0.25**2 * 2)
    np.testing.assert_allclose(relative, np.diag([1 / (0.5**2 * 3)] * 2 + [head] * 2), rtol=1e-12)


def test_a_shared_row_sums_all_layers() -> None:
    shared = Decoder(SPEC, tiny_decoder().parts, (1, 2))
    assert gram_matrix(shared, np.zeros((1, 1, 2))).tolist() == [[16, 0], [0, 16]]


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("seed", [0, 1])
def test_exact_for_dense_parts_in_the_linear_range(rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    decoder, codes = dense_decoder(rng, rows, 1e4), drawn(rng, 40, rows, 3)
    explicit, metric = pair_distances(decoder, codes, metric_factor(gram_matrix(decoder, codes)))
    np.testing.assert_allclose(metric, explicit, rtol=1e-4)


def test_relative_distances_are_shares_of_the_weights() -> None:
    """All tensors of one bound: Σ_t ‖Δ_t‖² / (bound² size_t), written out."""
    rng = np.random.default_rng(2)
    decoder, (first, second) = dense_decoder(rng, 2, 1e4), drawn(rng, 2, 2, 3)
    a, b = decoder.decode(first).deltas, decoder.decode(second).deltas
    wanted = sum(float(((a[t.name] - b[t.name]) ** 2).sum()) / (t.bound**2 * t.size) for t in decoder.spec.tensors)
    gram = gram_matrix(decoder, np.stack([first, second]), relative=True)
    difference = (first - second).reshape(-1).astype(np.float64)
    assert difference @ gram @ difference == pytest.approx(wanted, rel=1e-4)


def test_kernel_parts_are_exact_close_to_the_mean() -> None:
    rng = np.random.default_rng(3)
    decoder, middle = kernel_decoder(rng, 1e3), drawn(rng, 1, 3)
    codes = middle + 1e-2 * drawn(rng, 40, 1, 3)
    explicit, metric = pair_distances(decoder, codes, metric_factor(gram_matrix(decoder, codes)))
    np.testing.assert_allclose(metric, explicit, rtol=0.05)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kernel", [False, True])
def test_in_step_with_bounded_edits_and_better_than_euclid(kernel: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    decoder = kernel_decoder(rng, 4.0) if kernel else dense_decoder(rng, 1, 4.0)
    codes = 0.3 * drawn(rng, 200, 1, 3)
    explicit, metric = pair_distances(decoder, codes, metric_factor(gram_matrix(decoder, codes)))
    _, euclid = pair_distances(decoder, codes, None)
    correlation = np.corrcoef(explicit, metric)[0, 1]
    assert correlation > (0.85 if kernel else 0.99)
    assert correlation > np.corrcoef(explicit, euclid)[0, 1] + 0.02


@given(st.integers(0, 1000))
def test_a_factor_squares_to_its_matrix_even_where_that_is_singular(seed: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(4, rng.integers(1, 5)))
    factor = metric_factor(root @ root.T).astype(np.float64)
    np.testing.assert_allclose(factor @ factor.T, root @ root.T, atol=1e-5 * np.abs(root @ root.T).max())


def test_no_metric_is_euclids() -> None:
    assert flattened([[[3, 4]]], None).tolist() == [[3, 4]]
    with pytest.raises(DataError, match=r"a metric has shape \(3, 3\); codes of shape \(1, 1, 2\) need \(2, 2\)"):
        flattened([[[3, 4]]], np.eye(3, dtype=np.float32))


@pytest.mark.parametrize("shape", [(2, 2), (0, 2, 2), (1, 1, 2), (1, 2, 3)])
def test_codes_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"codes for a metric have shape .*needs \(N, \*\(2, 2\)\)"):
        gram_matrix(tiny_decoder(), np.zeros(shape))
    with pytest.raises(DataError, match="not finite; leave them out"):
        gram_matrix(tiny_decoder(), np.full((1, 2, 2), math.nan))


@pytest.mark.parametrize(
    ("gram", "message"),
    [
        ([[1, 0]], "not square and finite"),
        ([[math.nan]], "not square and finite"),
        ([[0, 0], [0, 0]], "one edit of all codes"),
        ([[1, 2], [0, 1]], "not symmetric and positive"),
        ([[1, 0], [0, -1]], "not symmetric and positive"),
    ],
)
def test_matrices_that_are_no_metric_are_refused(gram: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        metric_factor(gram)
