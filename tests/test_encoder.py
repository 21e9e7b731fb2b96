"""The encoder: right codes, alone or in company, and no graph that would give others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto

from persona.bundle import CloudHalf
from persona.encoder import Encoder
from persona.errors import BundleError, ServiceError, UnusableRequest
from persona.sketch import Sketch
from persona.wire import AdaptRequest
from tests.service.asking import features
from tests.service.graphs import (
    FAILS,
    GIVES_NAN,
    SET_WEIGHT,
    doubling_encoder,
    mixing_encoder,
    reshaping_encoder,
    set_encoder,
    sketch_encoder,
)
from tests.tiny_bundles import tiny_bundle
from tests.worlds import World

SKETCH_BUNDLE = tiny_bundle()
SAMPLES_BUNDLE = replace(tiny_bundle(), context="samples")
SKETCHES = Encoder(CloudHalf(sketch_encoder(), ""), SKETCH_BUNDLE)
SETS = Encoder(CloudHalf(set_encoder(), ""), SAMPLES_BUNDLE)

moderate = st.floats(-8, 8, width=32)
sketches = hnp.arrays(np.float32, 8, elements=moderate)
sample_sets = hnp.arrays(np.float32, st.tuples(st.integers(1, 16), st.just(3)), elements=moderate)


def test_a_sketchs_code_is_what_the_graph_says() -> None:
    found = SKETCHES.codes([features(1, 2, 3, 4), features(5, 6, 7, 8)])
    np.testing.assert_array_equal(found, [[[1, 2], [3, 4]], [[5, 6], [7, 8]]])


@given(sample_sets)
def test_a_sets_code_is_its_mean_times_the_weight(samples: np.ndarray) -> None:
    wanted = (samples.mean(axis=0) @ SET_WEIGHT).reshape(1, 2, 2)
    np.testing.assert_allclose(SETS.codes([samples]), wanted, atol=1e-4)


@given(st.lists(sketches, min_size=1, max_size=9))
def test_sketches_do_not_see_each_other(batch: list[np.ndarray]) -> None:
    together = SKETCHES.codes(batch)
    apart = [SKETCHES.codes([one])[0] for one in batch]
    np.testing.assert_array_equal(together, apart)


@given(st.lists(sample_sets, min_size=1, max_size=6))
def test_sets_see_neither_each_other_nor_the_padding(batch: list[np.ndarray]) -> None:
    together = SETS.codes(batch)
    apart = [SETS.codes([one])[0] for one in batch]
    np.testing.assert_allclose(together, apart, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int32", "int64"])
def test_every_dtype_of_the_wire_means_the_same_numbers(dtype: str) -> None:
    request = AdaptRequest("ab" * 32, "sketch", np.arange(8).astype(dtype), 8)
    accepted = SKETCHES.accept(AdaptRequest.decode(request.encode()))
    assert accepted.dtype == np.float32
    np.testing.assert_array_equal(accepted, np.arange(8))


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (AdaptRequest("", "samples", np.ones((4, 2), np.float32), 4), r"shape \(4, 2\).*needs \('S', 3\)"),
        (AdaptRequest("", "samples", np.ones((17, 3), np.float32), 17), "S up to 16"),
        (AdaptRequest("", "sketch", np.ones(9, np.float32), 4), r"shape \(9,\).*needs \(8,\)"),
        (AdaptRequest("", "sketch", np.ones((1, 8), np.float32), 4), r"shape \(1, 8\)"),
        (AdaptRequest("", "sketch", np.ones(8, np.float32), 0), "of 0 samples"),
        (AdaptRequest("", "sketch", np.full(8, 16.5, np.float32), 4), "beyond ±16"),
        (AdaptRequest("", "sketch", np.full(8, -(2**63)), 4), "beyond ±16"),
    ],
)
def test_a_sketch_that_does_not_fit_is_refused(request_: AdaptRequest, complaint: str) -> None:
    with pytest.raises(UnusableRequest, match=complaint):
        SKETCHES.accept(request_)


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (AdaptRequest("", "sketch", np.ones(8, np.float32), 4), "brings sketch; this bundle reads samples"),
        (AdaptRequest("", "samples", np.ones((4, 2), np.float32), 4), r"shape \(4, 2\).*needs \('S', 3\)"),
        (AdaptRequest("", "samples", np.ones(3, np.float32), 3), r"shape \(3,\)"),
        (AdaptRequest("", "samples", np.ones((17, 3), np.float32), 17), "S up to 16"),
        (AdaptRequest("", "samples", np.ones((4, 3), np.float32), 5), "brings 4 samples and counts 5"),
    ],
)
def test_a_set_that_does_not_fit_is_refused(request_: AdaptRequest, complaint: str) -> None:
    with pytest.raises(UnusableRequest, match=complaint):
        SETS.accept(request_)


def test_a_request_may_be_as_large_as_the_bundle_says() -> None:
    assert SKETCHES.largest_bytes == 16 * 3 * 4  # samples, of which the service takes the sketch
    assert SETS.largest_bytes == 16 * 3 * 4


def test_a_graph_that_fails_says_so() -> None:
    with pytest.raises(ServiceError, match="failed on a run of 2 requests") as caught:
        SKETCHES.codes([features(1), features(1, at={FAILS: 10})])
    assert "out of data bounds" in str(caught.value.__cause__)


def test_a_code_that_is_not_finite_is_never_returned() -> None:
    with pytest.raises(UnusableRequest, match="no finite code"):
        SKETCHES.codes([features(1, at={GIVES_NAN: 10})])


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: b"not a graph", "cannot be loaded"),
        (lambda: reshaping_encoder(name="x"), r"inputs \['x'\]; wanted \['features'\]"),
        (set_encoder, r"inputs \['mask', 'samples'\]; wanted \['features'\]"),
        (lambda: reshaping_encoder(width=9), r"shape \['B', 9\].*wanted .*\(None, 8\)"),
        (lambda: reshaping_encoder(rows=1), r"shape \[1, 8\].*wanted .*\(None, 8\)"),
        (lambda: reshaping_encoder(code=(1, 4)), r"'codes'.*wanted .*\(None, 2, 2\)"),
        (lambda: reshaping_encoder(code=(4,)), r"'codes'.*wanted .*\(None, 2, 2\)"),
        (lambda: reshaping_encoder(type_=TensorProto.DOUBLE), r"tensor\(double\)"),
        (mixing_encoder, "mixes the requests"),
        (doubling_encoder, r"does not run .*gave \(4, 2, 2\); wanted \(2, 2, 2\)"),
    ],
)
def test_a_graph_that_is_not_an_encoder_of_this_bundle_is_refused(make: Callable[[], bytes], complaint: str) -> None:
    with pytest.raises(BundleError, match=complaint):
        Encoder(CloudHalf(make(), ""), SKETCH_BUNDLE)


def test_a_set_encoder_is_for_bundles_of_samples() -> None:
    with pytest.raises(BundleError, match=r"wanted \['mask', 'samples'\]"):
        Encoder(CloudHalf(sketch_encoder(), ""), SAMPLES_BUNDLE)


def test_samples_give_the_code_of_the_sketch_that_a_device_would_have_sent() -> None:
    world = World()
    encoder = Encoder(CloudHalf(world.encoder, ""), world.bundle)
    for seed, domain in enumerate((1, -1, 1)):
        x, _ = world.sample(domain, 32, np.random.default_rng(seed), 0.3)
        sketch = Sketch.of(world.bundle.sketch, world.moments(x), world.logits(x))
        features = sketch.travelling(world.bundle.sketch).astype(np.float32)
        accepted = encoder.accept(AdaptRequest("", "samples", x, 32))
        np.testing.assert_allclose(encoder.codes([accepted]), encoder.codes([features]), atol=1e-6)
        np.testing.assert_array_equal(encoder.codes([accepted, features])[0], encoder.codes([accepted])[0])


def test_samples_whose_moments_are_not_finite_are_refused() -> None:
    world = World()
    encoder = Encoder(CloudHalf(world.encoder, ""), world.bundle)
    accepted = encoder.accept(AdaptRequest("", "samples", np.full((4, 4), 1e30, np.float32), 4))
    with pytest.raises(UnusableRequest, match="finite moments"):
        encoder.codes([accepted])


def test_a_graph_that_takes_no_sketch_is_a_fault_of_the_service() -> None:
    accepted = SKETCHES.accept(AdaptRequest("", "samples", np.ones((4, 3), np.float32), 4))
    with pytest.raises(ServiceError, match="no sketch can be taken"):
        SKETCHES.codes([accepted])
