"""The prior term at work: window by window whatever the batches, empty after a jump, whole under many threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from persona.device import Options, Runtime
from persona.device.prior_term import PriorTerm
from persona.edit import Array
from persona.prior import PriorNet, PriorState, class_features
from tests.device.test_threads import in_threads, restless
from tests.tiny_bundles import floats
from tests.tiny_parts import WEIGHTS, WINDOW, parts_bundle, parts_gate, parts_prior

BUNDLE = replace(parts_bundle(), gate=None, renorm=None)
NET = parts_prior()
__all__ = ["restless"]  # threads take turns often here as well


def rows(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal([1.5, 0], 1, size=(count, 2)).astype(np.float32)


def windows_of(logits: Array) -> list[Array]:
    return [logits[at : at + WINDOW] for at in range(0, len(logits) - WINDOW + 1, WINDOW)]


def bias_after(windows: list[Array], net: PriorNet = NET) -> Array:
    """Return the bias of a device that met these windows since it began."""
    state = PriorState.empty(2)
    for window in windows:
        state = state.after(window)
    return net.bias(class_features(state, windows[-1]))


def whole() -> float:
    return 1.0


@pytest.mark.parametrize("size", [1, 5, WINDOW, 40, 100])
def test_windows_are_cut_alike_whatever_the_batches(size: int) -> None:
    term, logits = PriorTerm(BUNDLE), rows(100)
    for start in range(0, 100, size):
        part = logits[start : start + size]
        found = term.biased(part, 0, whole)
        done = windows_of(logits[: start + len(part)])
        wanted = part + bias_after(done) if done else part
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert np.abs(bias_after(windows_of(logits))).max() > 0.1


def test_single_samples_do_not_count_as_windows() -> None:
    """Sixteen samples of one class a hundred times over would be certainty; as one window they are one."""
    term = PriorTerm(BUNDLE)
    one = floats([3, 0])
    for _ in range(WINDOW - 1):
        np.testing.assert_array_equal(term.biased(one, 0, whole), one)
    found = term.biased(one, 0, whole)
    np.testing.assert_allclose(found, one + bias_after([np.repeat(one, WINDOW, axis=0)]), atol=1e-6)


def test_the_bias_is_as_familiar_as_the_data_and_that_is_asked_once_a_window() -> None:
    term, asked = PriorTerm(BUNDLE), []

    def half() -> float:
        asked.append(1)
        return 0.5

    logits = rows(WINDOW)
    found = [term.biased(logits[:4], 0, half) for _ in range(8)][-1]
    np.testing.assert_allclose(
        found - logits[:4], 0.5 * bias_after([np.tile(logits[:4], (4, 1))] * 2)[None].repeat(4, 0), atol=1e-6
    )
    assert len(asked) == 2


def test_what_is_not_finite_counts_for_nothing() -> None:
    term, logits = PriorTerm(BUNDLE), rows(WINDOW)
    broken = np.concatenate([logits[:8], np.full((50, 2), np.nan, np.float32), logits[8:]])
    found = term.biased(broken, 0, whole)
    assert np.isnan(found[8:58]).all()
    np.testing.assert_allclose(found[:8], logits[:8] + bias_after([logits]), atol=1e-6)


def test_a_restart_forgets_state_bias_and_the_window_under_way() -> None:
    term, logits = PriorTerm(BUNDLE), rows(WINDOW)
    term.biased(rows(WINDOW + 10, seed=1), term.since, whole)
    since = term.restart()
    assert since == term.since == 1
    np.testing.assert_array_equal(term.biased(logits[:8], since, whole), logits[:8])
    np.testing.assert_allclose(term.biased(logits[8:], since, whole), logits[8:] + bias_after([logits]), atol=1e-6)


def test_predictions_that_began_before_a_restart_do_not_enter() -> None:
    term, logits = PriorTerm(BUNDLE), rows(WINDOW)
    before = term.since
    since = term.restart()
    old = rows(2 * WINDOW, seed=1)
    np.testing.assert_array_equal(term.biased(old, before, whole), old)
    np.testing.assert_allclose(term.biased(logits, since, whole), logits + bias_after([logits]), atol=1e-6)


def test_a_net_that_overflows_adds_nothing() -> None:
    huge = PriorNet({**NET.arrays, "w1": NET.arrays["w1"] * np.float32(3e38), "w2": floats([3e38])})
    term, logits = PriorTerm(replace(BUNDLE, prior=huge)), rows(WINDOW)
    np.testing.assert_array_equal(term.biased(logits, 0, whole), logits)


@pytest.mark.parametrize("wanted", [True, False])
def test_without_a_net_or_a_wish_logits_stay_as_they_are(wanted: bool) -> None:
    term, logits = PriorTerm(replace(BUNDLE, prior=None) if wanted else BUNDLE, wanted), rows(3 * WINDOW)
    assert term.biased(logits, 0, whole) is logits


# The runtime: x where the head's first class is the likelier by the first input, as h = (x − 1) / 2 + 0.5.


def window(offset: float, seed: int = 0) -> Array:
    return (offset + np.random.default_rng(seed).normal(size=(WINDOW, 3))).astype(np.float32)


def plain(x: Array, runtime_bias: float) -> Array:
    """Return the logits under a delta of the first class's bias alone, as the prototypes' edits are."""
    spread = np.sqrt(floats(4, 1, 0.25) + np.float32(0.001))
    h = (x - floats(1, 0, -1)) / spread * WEIGHTS["norm.weight"] + WEIGHTS["norm.bias"]
    return np.asarray(h @ WEIGHTS["head.weight"].T + WEIGHTS["head.bias"] + [runtime_bias, 0], np.float32)


EDIT = 0.25 * float(np.tanh(4))


def test_predictions_are_biased_and_a_jump_forgets() -> None:
    runtime = Runtime(BUNDLE)
    met: list[Array] = []
    for seed, (offset, code) in enumerate([(2.0, 1), (2.0, 1), (2.0, 1), (-3.0, -1), (-3.0, -1)]):
        x = window(offset, seed)
        logits = plain(x, code * EDIT)
        met = [logits] if seed == 3 else [*met, logits]
        np.testing.assert_allclose(runtime.predict(x), logits + bias_after(met), atol=1e-4)
        assert np.abs(bias_after(met)).max() > 0.01
    assert runtime.status().jumps == 1


def test_an_observed_window_of_another_domain_forgets_and_one_of_the_same_does_not() -> None:
    runtime = Runtime(BUNDLE)
    runtime.use(None)
    met: list[Array] = []
    for seed, offset in enumerate([2.0, 2.0, -3.0, -3.0]):
        x = window(offset, seed)
        runtime.observe(x)
        met = [plain(x, 0)] if seed == 2 else [*met, plain(x, 0)]
        np.testing.assert_allclose(runtime.predict(x), plain(x, 0) + bias_after(met), atol=1e-4)


def test_the_prior_term_can_be_turned_off() -> None:
    runtime, x = Runtime(BUNDLE, options=Options(prior=False)), window(2.0)
    for _ in range(2):
        np.testing.assert_allclose(runtime.predict(x), plain(x, EDIT), atol=1e-4)


def test_a_strange_sketch_has_no_bias() -> None:
    runtime, x = Runtime(replace(BUNDLE, gate=parts_gate(1e-6, 2e-6))), window(2.0)
    runtime.use(None)
    np.testing.assert_allclose(runtime.predict(x), plain(x, 0), atol=1e-4)


def counting() -> PriorNet:
    """Return a net whose bias tells how many windows were met: the likelier class's rises with them."""
    w1 = np.zeros((7, 1), np.float32)
    w1[0], w1[6] = 1, 1
    return PriorNet({**NET.arrays, "w1": w1})


CALLS, THREADS = 5, 4


def steps_of(predict: Callable[[], Array], logits: Array) -> list[int]:
    """Predict the same window in several threads; return how many windows each answer says were met before it."""
    found, lock = list[Array](), threading.Lock()

    def job() -> None:
        for _ in range(CALLS):
            one = predict()
            with lock:
                found.append(one)

    in_threads(*[job] * THREADS)
    possible = np.stack([bias_after([logits] * k, counting()) for k in range(1, CALLS * THREADS + 1)])
    assert np.diff(possible[:, 0]).min() > 1e-4
    steps = [int(np.argmin(np.abs(possible[:, 0] - (one - logits)[0, 0]))) for one in found]
    for step, one in zip(steps, found, strict=True):
        np.testing.assert_allclose(one, logits + possible[step], atol=5e-5)
    return sorted(steps)


def one_sided() -> Array:
    """Return a window nearly all of one class, so that the other's share is far below an even one."""
    return window(2.0) + floats(6, 0, 0)


def test_every_threads_window_is_one_step_of_one_state() -> None:
    logits = plain(one_sided(), 0)
    for _ in range(40):
        term = PriorTerm(replace(BUNDLE, prior=counting()))
        assert steps_of(lambda term=term: term.biased(logits, 0, whole), logits) == list(range(CALLS * THREADS))


def test_every_prediction_of_many_threads_is_one_step_of_one_state() -> None:
    runtime = Runtime(replace(BUNDLE, prior=counting()))
    runtime.use(None)
    x = one_sided()
    assert steps_of(lambda: runtime.predict(x), plain(x, 0)) == list(range(CALLS * THREADS))
