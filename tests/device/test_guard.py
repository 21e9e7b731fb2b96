"""The jump test over windows, the check of a reply, the shadow trial."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from persona.device import DeviceModel
from persona.device.guard import check_reply, shadow_trial
from persona.device.jump_test import JumpTest
from persona.edit import Array
from persona.errors import EditError, FingerprintMismatch
from persona.wire import AdaptReply
from tests.worlds import BANK_VERSION, World, onnx_bytes

WORLD = World(window=16)


def jump_test() -> JumpTest:
    return JumpTest(WORLD.bundle.sketch, WORLD.bundle.jump)


def moments(domain: int, count: int, seed: int = 0) -> Array:
    x, _ = WORLD.sample(domain, count, np.random.default_rng(seed))
    return WORLD.moments(x)


def test_whole_windows_of_one_domain_do_not_jump_and_of_another_do() -> None:
    test = jump_test()
    assert [test.watch(moments(d, 16, seed)) for seed, d in enumerate([1, 1, 1, -1, -1, 1])] == [
        "first", "within", "within", "jump", "within", "jump"
    ]  # fmt: skip


@pytest.mark.parametrize("size", [1, 3, 5, 16])
def test_small_batches_gather_until_they_fill_a_window(size: int) -> None:
    test = jump_test()
    stream = np.concatenate([moments(1, 48), moments(-1, 48)])
    arrivals = {start: test.watch(stream[start : start + size]) for start in range(0, len(stream), size)}
    # The first window is whole with the batch that brings sample 16, and no other is the first.
    assert [start for start, arrival in arrivals.items() if arrival == "first"] == [15 // size * size]
    jumps = [start for start, arrival in arrivals.items() if arrival == "jump"]
    # At the end of the first window that holds enough of the other domain; a mixed window may be followed by one more.
    assert jumps[0] >= 48 - size
    assert jumps[0] < 48 + 2 * 18
    assert len(jumps) <= 2


def test_a_batch_larger_than_the_window_is_a_window_of_its_own() -> None:
    test = jump_test()
    assert test.watch(moments(1, 16)) == "first"
    assert test.watch(moments(1, 5)) == "within"
    assert test.open_samples == 5
    assert test.watch(moments(-1, 40)) == "jump"
    assert test.open_samples == 0


def test_one_sample_at_a_time_closes_the_same_window_as_a_batch() -> None:
    single, whole = jump_test(), jump_test()
    rows = moments(1, 16)
    for row in rows:
        single.watch(row[None])
    whole.watch(rows)
    np.testing.assert_allclose(single.place().moments, whole.place().moments, rtol=1e-12)


def test_samples_that_are_not_finite_do_not_count() -> None:
    test = jump_test()
    broken = moments(-1, 16)
    broken[:, 0] = np.nan
    assert test.watch(broken) == "within"
    assert test.watch(moments(1, 16)) == "first"
    assert test.watch(broken) == "within"
    assert test.open_samples == 0
    assert test.watch(moments(1, 16, seed=1)) == "within"


def test_a_place_is_left_when_the_data_is_elsewhere_and_not_when_it_is_back() -> None:
    test = jump_test()
    test.watch(moments(1, 16))
    place = test.place()
    assert not test.has_left(place)
    test.watch(moments(-1, 16))
    assert test.has_left(place)
    test.watch(moments(1, 16, seed=1))
    assert not test.has_left(place)


def test_before_the_first_window_closes_the_place_is_what_there_is() -> None:
    test = jump_test()
    test.watch(moments(1, 10))
    place = test.place()
    assert place.count == 10
    test.watch(moments(1, 10, seed=1))
    assert not test.has_left(place)


def test_a_restart_forgets_the_last_window() -> None:
    test = jump_test()
    test.watch(moments(1, 16))
    test.watch(moments(1, 3))
    test.restart(moments(-1, 16))
    assert test.open_samples == 0
    assert test.watch(moments(-1, 16, seed=1)) == "within"


def test_after_a_restart_no_window_is_the_first() -> None:
    test = jump_test()
    test.restart(moments(1, 5))
    assert test.watch(moments(1, 16, seed=1)) == "within"


def test_a_reply_for_another_bundle_or_bank_is_refused() -> None:
    bundle = WORLD.bundle
    check_reply(AdaptReply(bundle.fingerprint, 0, BANK_VERSION, 0), bundle)
    with pytest.raises(FingerprintMismatch, match="ffffffffffff"):
        check_reply(AdaptReply("f" * 64, 0, BANK_VERSION, 0), bundle)
    with pytest.raises(FingerprintMismatch, match="version 4 of the bank, this device has version 3"):
        check_reply(AdaptReply(bundle.fingerprint, 0, BANK_VERSION + 1, 0), bundle)


def test_a_shadow_trial_returns_logits_and_blames_no_edit_for_a_broken_sample() -> None:
    model = DeviceModel(WORLD.bundle)
    x, _ = WORLD.sample(1, 8, np.random.default_rng(0))
    edit = WORLD.edit(1)
    np.testing.assert_allclose(shadow_trial(model, model.weights(edit), x), WORLD.logits(x, edit), rtol=1e-6)
    x[3, 0] = np.nan
    shadow_trial(model, model.weights(edit), x)


def test_weights_that_give_logits_that_are_not_finite_fail_their_trial() -> None:
    bundle = replace(WORLD.bundle, graph=fragile_graph())
    model = DeviceModel(bundle)
    x, _ = WORLD.sample(1, 8, np.random.default_rng(0))
    shadow_trial(model, model.weights(None), x)
    with pytest.raises(EditError, match="not finite on the last 8 samples"):
        shadow_trial(model, model.weights(WORLD.edit(1, 0.5)), x)


def fragile_graph() -> bytes:
    """Return the world's graph with a root of the bias in it: a bias below zero gives NaN."""
    from onnx import helper

    nodes = [
        helper.make_node("Sqrt", ["head.bias"], ["root"]),
        helper.make_node("Gemm", ["x", "head.weight", "root"], ["logits"], transB=1),
        helper.make_node("Mul", ["x", "x"], ["squares"]),
        helper.make_node("Concat", ["x", "squares"], ["moments"], axis=1),
    ]
    inputs: dict[str, list[int | str]] = {"x": ["N", 4], "head.weight": [2, 4], "head.bias": [2]}
    return onnx_bytes(inputs, {"logits": ["N", 2], "moments": ["N", 8]}, nodes, {})
