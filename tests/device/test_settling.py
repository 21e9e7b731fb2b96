"""A device's own statistics under an edit, layer after layer, against a net worked out by hand in a single pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from persona.bundle import Bundle
from persona.device import OnJump, Runtime
from persona.device.local_part import LocalPart
from persona.device.model import DeviceModel, Weights
from persona.device.present import Memory
from persona.edit import Array, Edit
from persona.renorm import Renorm
from persona.sketch import Sketch
from persona.wire import AdaptReply, AdaptRequest
from tests.device.devices import Inline, LocalCloud
from tests.tiny_bundles import floats
from tests.tiny_chain import NORMS, STRENGTHS, WINDOW, chain_bundle, chain_logits

RESIDUAL = floats([-0.25, 0.75])


def window(offset: float, seed: int = 0, count: int = WINDOW) -> Array:
    rng = np.random.default_rng(seed)
    return (offset + rng.normal(size=(count, 2)) * [1, 2]).astype(np.float32)


def memory_of(bundle: Bundle, samples: Array, unity: float = 1.0) -> Memory:
    return Memory(Sketch.empty(bundle.sketch), samples, unity)


class Counting(DeviceModel):
    """A model that counts its runs."""

    runs = 0

    def run(self, x: Array, weights: Weights) -> tuple[Array, Array]:
        self.runs += 1
        return super().run(x, weights)


def settled(bundle: Bundle, edit: Edit, x: Array) -> tuple[Array, int]:
    """Return the logits of x under an edit with its own statistics settled in, and how many runs that took."""
    model = Counting(bundle)
    model.runs = 0
    weights = LocalPart(bundle).settle(model, edit, model.weights(edit), memory_of(bundle, x))
    runs = model.runs
    return model.run(x, weights)[0], runs


def answered(request: AdaptRequest) -> AdaptReply:
    return AdaptReply(request.fingerprint, 0, 7, 0, RESIDUAL, "float32")


def test_passes_as_many_as_layers_give_what_one_pass_of_its_own_statistics_gives() -> None:
    bundle, x = chain_bundle(), window(2)
    edit = bundle.decoder.decode(floats([1, -0.5]))
    found, runs = settled(bundle, edit, x)
    np.testing.assert_allclose(found, chain_logits(x, edit.deltas), atol=1e-4)
    assert runs == len(NORMS)
    for layers in (1, 2):  # or the agreement would say nothing: all but one layer is not enough
        fewer = replace(bundle, renorm=Renorm(bundle.renorm.layers[:layers] if bundle.renorm else ()))
        own = {norm: STRENGTHS[norm] * (at < layers) for at, norm in enumerate(NORMS)}
        part, runs = settled(fewer, edit, x)
        np.testing.assert_allclose(part, chain_logits(x, edit.deltas, own), atol=1e-4)
        assert np.abs(part - found).max() > 0.05
        assert runs == layers


def test_statistics_are_those_under_the_edit_and_not_under_base_weights() -> None:
    """One pass under base weights would take the later layers' statistics for what they are not."""
    bundle, x = chain_bundle(), window(2)
    edit, model, part = bundle.decoder.decode(floats([1, -0.5])), DeviceModel(bundle), LocalPart(bundle)
    once = replace(bundle, renorm=Renorm(bundle.renorm.layers[:1] if bundle.renorm else ()))
    assert once.renorm is not None
    weights = part.settle(model, edit, model.weights(edit), memory_of(bundle, x))
    first = LocalPart(once).settle(model, edit, model.weights(edit), memory_of(bundle, x))
    np.testing.assert_allclose(weights.arrays["one.weight"], first.arrays["one.weight"], atol=1e-6)
    for name in ("two.weight", "three.weight"):
        assert np.abs(weights.arrays[name] - first.arrays[name]).max() > 0.05
    for name in ("head.weight", "head.bias"):
        np.testing.assert_array_equal(weights.arrays[name], model.weights(edit).arrays[name])


def test_there_is_no_pass_beyond_need() -> None:
    """Layers of strength 0 change nothing, so the second pass finds what the first one did."""
    bundle, x = chain_bundle(), window(2)
    assert bundle.renorm is not None
    layers = tuple(replace(layer, strength=0.5 * (layer.name == "one")) for layer in bundle.renorm.layers)
    edit = bundle.decoder.decode(floats([1, -0.5]))
    still = replace(bundle, renorm=Renorm(layers))
    found, runs = settled(still, edit, x)
    np.testing.assert_allclose(found, chain_logits(x, edit.deltas, {"one": 0.5, "two": 0, "three": 0}), atol=1e-4)
    assert runs == 2
    assert settled(replace(bundle, renorm=None), edit, x)[1] == 0
    assert settled(bundle, edit, x)[1] == 3


@pytest.mark.parametrize("size", [WINDOW, 5, 1])
def test_an_answer_comes_into_force_with_the_statistics_of_what_was_asked_about(size: int) -> None:
    """However small the batches were: the last of them alone would have other statistics."""
    bundle, x = chain_bundle(), window(2)
    runtime = Runtime(bundle, LocalCloud(answered), OnJump(), executor=Inline())
    for at in range(0, WINDOW, size):
        runtime.predict(x[at : at + size])
    status = runtime.adapt()
    assert (status.in_force, status.reason) == ("prototype 0 + residual", "")
    learned = bundle.decoder.decode(floats([1, 0.5]) + RESIDUAL).deltas
    np.testing.assert_allclose(runtime.predict(x), chain_logits(x, learned), atol=2e-4)


def test_the_first_window_and_one_after_a_jump_are_answered_with_their_own_statistics() -> None:
    bundle = chain_bundle()
    runtime = Runtime(bundle)
    for offset, prototype in ((2.0, 0), (-3.0, 1)):
        x = window(offset)
        learned = bundle.decoder.decode(bundle.bank.codes[prototype]).deltas
        np.testing.assert_allclose(runtime.predict(x), chain_logits(x, learned), atol=2e-4)
        assert runtime.status().in_force == f"prototype {prototype}"
    assert runtime.status().jumps == 1


def test_what_is_sent_stays_the_sketch_under_base_weights() -> None:
    bundle, x, cloud = chain_bundle(), window(2), LocalCloud(answered)
    runtime = Runtime(bundle, cloud, OnJump(), executor=Inline())
    runtime.observe(x)
    for _ in range(2):  # the second time under an edit with statistics settled in
        assert runtime.adapt().reason == ""
        runtime.predict(x)
    first, second = (request.values for request in cloud.requests)
    np.testing.assert_array_equal(first, second)


def test_samples_that_are_not_finite_settle_nothing() -> None:
    bundle, x = chain_bundle(), window(2)
    edit = bundle.decoder.decode(floats([1, -0.5]))
    broken = np.concatenate([x, np.full((2, 2), np.nan, np.float32)])
    np.testing.assert_array_equal(settled(bundle, edit, broken)[0][:WINDOW], settled(bundle, edit, x)[0])
    model, part = DeviceModel(bundle), LocalPart(bundle)
    for samples in (broken[WINDOW:], broken[:0]):
        weights = part.settle(model, edit, model.weights(edit), memory_of(bundle, samples))
        for name, array in model.weights(edit).arrays.items():
            np.testing.assert_array_equal(weights.arrays[name], array)


@pytest.mark.parametrize("renorm", [True, False])
def test_samples_of_several_domains_turn_the_whole_edit_down(renorm: bool) -> None:
    """At 0 what is left are the base weights, and half-way each weight is half-way."""
    bundle, x = chain_bundle(), window(2)
    bundle = bundle if renorm else replace(bundle, renorm=None)
    model, part, edit = DeviceModel(bundle), LocalPart(bundle), bundle.decoder.decode(floats([1, -0.5]))
    whole, half, none = (
        part.settle(model, edit, model.weights(edit), memory_of(bundle, x, unity)).arrays for unity in (1.0, 0.5, 0.0)
    )
    for name, base in model.weights(None).arrays.items():
        np.testing.assert_allclose(none[name], base, atol=1e-6)
        np.testing.assert_allclose(half[name], (base + whole[name]) / 2, atol=1e-6)
    assert max(np.abs(whole[name] - none[name]).max() for name in whole) > 0.05
