"""What comes into force is strength · learned with local statistics settled in; worked out here by other means."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from persona.bundle import Bundle
from persona.device import OnJump, Options, Runtime
from persona.device.local_part import LocalPart
from persona.device.model import DeviceModel
from persona.device.present import Memory
from persona.edit import Array, Edit
from persona.errors import EditError
from persona.renorm import Renorm
from persona.sketch import Sketch
from persona.wire import AdaptReply, AdaptRequest
from tests.device.devices import Inline, LocalCloud
from tests.tiny_bundles import floats
from tests.tiny_parts import (
    EPSILON,
    MEAN,
    VARIANCE,
    WEIGHTS,
    WINDOW,
    parts_bundle,
    parts_decoder,
    parts_gate,
    parts_renorm,
)

RESIDUAL = floats([-0.5, 0.25])
OFF = Options(prior=False)


def window(offset: float, seed: int = 0, count: int = WINDOW) -> Array:
    rng = np.random.default_rng(seed)
    return (offset + rng.normal(size=(count, 3)) * [1, 2, 0.5]).astype(np.float32)


def bundle_of(**changes: Any) -> Bundle:
    return Bundle.from_bytes(replace(parts_bundle(), **changes).to_bytes())


def gate_of(strength: float) -> Any:
    """Return a gate that weighs any window but an infinitely far one the same, near enough."""
    return parts_gate(1e6, 1.5e6) if strength == 1 else parts_gate(1e-6, 2e-6)


def reply(request: AdaptRequest) -> AdaptReply:
    return AdaptReply(request.fingerprint, 0, 7, 0, RESIDUAL, "float32")


def logits_of(x: Array, mean: Any, variance: Any, bias: Any = 0.0, scale: Array = WEIGHTS["norm.weight"]) -> Any:
    """Return the logits of x normalised by given statistics, with a delta of the head's bias."""
    h = (x - mean) / np.sqrt(variance + EPSILON) * scale + WEIGHTS["norm.bias"]
    return h @ WEIGHTS["head.weight"].T + WEIGHTS["head.bias"] + bias


def mixed(x: Array, strength: float) -> tuple[Any, Any]:
    """Return statistics of training mixed with those of x."""
    own = x.astype(np.float64)
    return (
        strength * own.mean(axis=0) + (1 - strength) * MEAN,
        strength * own.var(axis=0) + (1 - strength) * VARIANCE,
    )


def learned(code: Array) -> Any:
    return 0.25 * np.tanh(code[0] / 0.25)


def adapted(bundle: Bundle, x: Array) -> Runtime:
    """Return a runtime that was answered about x."""
    runtime = Runtime(bundle, LocalCloud(reply), OnJump(), executor=Inline(), options=OFF)
    runtime.observe(x)
    status = runtime.adapt()
    assert (status.in_force, status.reason) == ("prototype 0 + residual", "")
    return runtime


@pytest.mark.parametrize("strength", [0.0, 1.0])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_an_answer_is_turned_down_by_the_gate_and_the_local_part_is_not(alpha: float, strength: float) -> None:
    """Under a gate of 0 what is left is the layer with other statistics, and nothing that was learned."""
    bundle, x = bundle_of(renorm=parts_renorm(alpha), gate=gate_of(strength)), window(3)
    bias = strength * learned(floats([1, 0]) + RESIDUAL)
    np.testing.assert_allclose(adapted(bundle, x).predict(x), logits_of(x, *mixed(x, alpha), bias), atol=1e-4)


def test_between_familiar_and_strange_a_part_of_the_edit_holds() -> None:
    bundle, x = bundle_of(renorm=None, gate=parts_gate(1.0, 5.0)), window(1.75)
    found = adapted(bundle, x).predict(x) - logits_of(x, MEAN, VARIANCE)
    shares = found / learned(floats([1, 0]) + RESIDUAL)
    moments = np.concatenate([x, x**2], axis=1)
    features = Sketch.of(bundle.sketch, moments, logits_of(x, MEAN, VARIANCE)).features(bundle.sketch)
    distance = max(abs(features[0]), np.linalg.norm(features[1:]))
    wanted = (5.0 - distance) / 4.0
    assert 0.1 < wanted < 0.9
    np.testing.assert_allclose(shares, wanted, atol=1e-4)


@pytest.mark.parametrize("size", [WINDOW, 1])
def test_after_a_jump_the_nearest_prototype_has_its_local_part_too(size: int) -> None:
    bundle = bundle_of(gate=gate_of(1))
    runtime = Runtime(bundle, options=OFF)
    for offset, prototype, code in ((3.0, 0, 1.0), (-4.0, 1, -1.0)):
        x = window(offset)
        logits = np.concatenate([runtime.predict(x[at : at + size]) for at in range(0, WINDOW, size)])
        assert runtime.status().in_force == f"prototype {prototype}"
        wanted = logits_of(x, *mixed(x, 0.5), learned(floats([code, 0])))
        np.testing.assert_allclose(logits[-size:], wanted[-size:], atol=1e-4)
    assert runtime.status().jumps == 1


def test_the_sketch_that_was_asked_about_counts_and_not_what_came_meanwhile() -> None:
    bundle, x = bundle_of(renorm=parts_renorm(1.0), gate=gate_of(0)), window(3)

    def answer(request: AdaptRequest) -> AdaptReply:
        runtime.predict(window(3.2, seed=1))
        return reply(request)

    runtime = Runtime(bundle, LocalCloud(answer), OnJump(), executor=Inline(), options=OFF)
    runtime.observe(x)
    assert runtime.adapt().reason == ""
    np.testing.assert_allclose(runtime.predict(x), logits_of(x, *mixed(x, 1.0)), atol=1e-4)


def test_bounds_hold_for_the_learned_part_alone() -> None:
    """Data of a tenth of the spread of training: the scale grows by far more than its bound, up to the limit of 8."""
    bundle, x = bundle_of(renorm=parts_renorm(1.0), gate=gate_of(0)), 3 + 0.01 * window(0)
    runtime = adapted(bundle, x)
    scale = 8 * WEIGHTS["norm.weight"]
    wanted = logits_of(x, x.astype(np.float64).mean(axis=0), VARIANCE, scale=scale)
    np.testing.assert_allclose(runtime.predict(x), wanted, atol=2e-3)
    assert (np.abs(scale - WEIGHTS["norm.weight"]) > bundle.spec.tensors[0].bound).all()


def test_a_learned_part_beyond_its_bounds_is_refused_however_small_the_local_part() -> None:
    with pytest.raises(EditError, match=r"'head\.bias' reaches 9, its bound is 0\.25"):
        Runtime(parts_bundle()).use(Edit({**Edit.zero(parts_bundle().spec).deltas, "head.bias": [9, 0]}))


def test_an_edit_by_hand_is_left_as_it_is() -> None:
    bundle, x = bundle_of(gate=gate_of(0)), window(3)
    runtime = Runtime(bundle, options=OFF)
    runtime.observe(x)
    runtime.use(parts_decoder().decode(RESIDUAL))
    np.testing.assert_allclose(runtime.predict(x), logits_of(x, MEAN, VARIANCE, learned(RESIDUAL)), atol=1e-4)
    runtime.use(None)
    np.testing.assert_allclose(runtime.predict(x), logits_of(x, MEAN, VARIANCE), atol=1e-4)


def test_a_bundle_without_them_adds_nothing() -> None:
    bundle, x = bundle_of(renorm=None, gate=None), window(3)
    wanted = logits_of(x, MEAN, VARIANCE, learned(floats([1, 0]) + RESIDUAL))
    np.testing.assert_allclose(adapted(bundle, x).predict(x), wanted, atol=1e-4)
    part, model, edit = LocalPart(bundle), DeviceModel(bundle), Edit.zero(bundle.spec)
    weights = model.weights(edit)
    assert part.strength(Sketch.empty(bundle.sketch)) == 1.0
    assert part.settle(model, edit, weights, Memory(Sketch.empty(bundle.sketch), x)) is weights


def out_of_range() -> Bundle:
    layer = replace(parts_renorm().layers[0], mean=floats(0, 3e38, 0), strength=1.0)
    return bundle_of(renorm=Renorm((layer,)), gate=None)


def test_statistics_out_of_range_leave_the_edit_in_force() -> None:
    x = window(3)
    runtime = Runtime(out_of_range(), LocalCloud(reply), OnJump(), executor=Inline(), options=OFF)
    edit = parts_decoder().decode(RESIDUAL)
    runtime.use(edit)
    runtime.observe(x)
    status = runtime.adapt()
    assert status.in_force == "by hand"
    assert "the local part of 'norm.bias' has entries that are not finite" in status.reason
    np.testing.assert_allclose(runtime.predict(x), logits_of(x, MEAN, VARIANCE, learned(RESIDUAL)), atol=1e-4)


def test_samples_that_are_not_finite_bring_no_local_part() -> None:
    bundle = bundle_of(gate=gate_of(1))
    runtime = Runtime(bundle, options=OFF)
    x = np.full((WINDOW, 3), math.nan, np.float32)
    assert np.isnan(runtime.predict(x)).all()
    assert runtime.status().in_force == "base"
