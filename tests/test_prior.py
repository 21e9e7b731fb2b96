"""The prior term: shares that are known, a bias that sums to zero, and classes that are all treated alike."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.nn import functional as F

from persona.edit import Array
from persona.errors import DataError, SpecError
from persona.prior import FEATURES, MEMORY, Float64, PriorNet, PriorState, class_features, estimate_prior, softmax

SHARES = np.array([0.6, 0.3, 0.1, 0.0])
WIDE = st.floats(-30, 30, width=32)


def world(shares: Float64, count: int, distance: float, seed: int = 0) -> Array:
    """Return the logits (N, C) of the best evenly trained classifier for classes that are unit normals on the axes."""
    rng = np.random.default_rng(seed)
    centers = distance * np.eye(len(shares))
    x = centers[rng.choice(len(shares), size=count, p=shares)] + rng.normal(size=(count, len(shares)))
    return np.asarray(-0.5 * ((x[:, None] - centers) ** 2).sum(axis=2), np.float32)


def net(seed: int = 0, hidden: int = 5) -> PriorNet:
    rng = np.random.default_rng(seed)
    shapes = {"w1": (FEATURES, hidden), "w2": (hidden, hidden), "w3": (hidden, 1), "b1": hidden, "b2": hidden, "b3": 1}
    return PriorNet({name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()})


def test_expectation_maximisation_finds_the_shares() -> None:
    probabilities = softmax(world(SHARES, 4000, distance=3).astype(np.float64))
    found = estimate_prior(probabilities)
    np.testing.assert_allclose(found, SHARES, atol=0.02)
    mean = probabilities.mean(axis=0)
    assert np.abs(found - SHARES).max() < 0.5 * np.abs(mean - SHARES).max()


def test_its_fixed_point_is_the_greatest_likelihood() -> None:
    """There the derivative of the likelihood by each share that is not zero is the same (Lagrange): the mean is 1."""
    probabilities = softmax(world(np.array([0.5, 0.3, 0.2]), 500, distance=2).astype(np.float64))
    shares = estimate_prior(probabilities, steps=2000)
    slopes = (probabilities / (probabilities @ shares)[:, None]).mean(axis=0)
    np.testing.assert_allclose(slopes, 1, atol=1e-6)
    assert shares.sum() == pytest.approx(1)


def test_a_classifier_that_is_certain_counts() -> None:
    probabilities = np.eye(3)[[0, 0, 1, 0]]
    np.testing.assert_allclose(estimate_prior(probabilities), [0.75, 0.25, 0])


def test_a_state_remembers_and_forgets() -> None:
    first, second = np.log(np.eye(2)[[0] * 4] + 1e-9), np.log(np.eye(2)[[1] * 4] + 1e-9)
    state = PriorState.empty(2).after(first)
    assert state.weight == 1
    np.testing.assert_allclose(state.em, [1, 0], atol=1e-6)
    state = state.after(second)
    assert state.weight == pytest.approx(1 + MEMORY)
    np.testing.assert_allclose(state.em, [MEMORY / (1 + MEMORY), 1 / (1 + MEMORY)], atol=1e-6)
    for _ in range(40):
        state = state.after(second)
    np.testing.assert_allclose(state.mean, [0, 1], atol=1e-5)
    assert state.weight == pytest.approx(1 / (1 - MEMORY), abs=1e-4)


def test_samples_that_are_not_finite_are_left_out() -> None:
    logits = world(SHARES, 12, 3).astype(np.float64)
    broken = np.concatenate([logits, np.full((2, 4), math.nan), [[math.inf, 0, 0, 0]]])
    empty = PriorState.empty(4)
    np.testing.assert_array_equal(empty.after(broken).em, empty.after(logits).em)
    np.testing.assert_array_equal(class_features(empty, broken), class_features(empty, logits))
    assert empty.after(broken[12:]) is empty
    assert not class_features(empty, broken[12:]).any()


def test_features_by_hand() -> None:
    """Two classes; two of three answers are the first, each with probability 3/4 for it, the third 1/4."""
    logits = np.log([[3, 1], [3, 1], [1, 3]])
    state = PriorState(np.array([0.8, 0.2]), np.array([0.6, 0.4]), 2.0)
    found = class_features(state, logits)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(2)
    far = [1 + (p * math.log(p) + (1 - p) * math.log(1 - p)) / math.log(2) for p in (0.8, 0.6)]
    overall = [*far, entropy, 2 * (1 - MEMORY)]
    wanted = [
        [math.log(1.6), math.log(1.2), 1 / 3, *overall],
        [math.log(0.4), math.log(0.8), -1 / 3, *overall],
    ]
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@given(arrays(np.float32, (6, 3), elements=WIDE))
def test_features_and_states_are_finite(logits: Array) -> None:
    state = PriorState.empty(3).after(logits)
    assert np.isfinite(class_features(state, logits)).all()
    assert state.em.sum() == pytest.approx(1)
    assert state.mean.sum() == pytest.approx(1)


def test_one_class_has_features_too() -> None:
    logits = np.ones((3, 1))
    assert not class_features(PriorState.empty(1).after(logits), logits)[:, :-1].any()


@given(arrays(np.float32, (5, FEATURES), elements=WIDE), st.permutations(range(5)))
def test_a_bias_sums_to_zero_and_follows_its_class(features: Array, order: list[int]) -> None:
    bias = net().bias(features)
    assert abs(float(bias.sum())) <= 1e-4 * max(1.0, float(np.abs(bias).max()))
    np.testing.assert_allclose(net().bias(features[order]), bias[order], rtol=1e-4, atol=1e-3)


def test_a_bias_is_that_of_three_layers_in_torch() -> None:
    features = np.random.default_rng(3).normal(size=(4, 6, FEATURES)).astype(np.float32)
    given_ = {name: torch.from_numpy(value) for name, value in net().arrays.items()}
    x = torch.from_numpy(features)
    for layer in ("1", "2"):
        x = F.linear(x, given_["w" + layer].T, given_["b" + layer]).relu()
    out = F.linear(x, given_["w3"].T, given_["b3"]).squeeze(2)
    np.testing.assert_allclose(net().bias(features), (out - out.mean(dim=1, keepdim=True)).numpy(), atol=1e-4)
    np.testing.assert_allclose(net().bias(features[2]), net().bias(features)[2], atol=1e-5)


def test_a_net_is_its_arrays() -> None:
    features = np.ones((3, FEATURES), np.float32)
    features[1] = -1
    again = PriorNet({name: value.copy() for name, value in net().arrays.items()})
    np.testing.assert_array_equal(again.bias(features), net().bias(features))
    assert np.abs(again.bias(features)).max() > 0.01


@pytest.mark.parametrize("name", ["b1", "b2", "b3", "w1", "w2", "w3"])
def test_arrays_that_are_missing_or_do_not_fit_are_named(name: str) -> None:
    whole = dict(net().arrays)
    fewer = {key: value for key, value in whole.items() if key != name}
    with pytest.raises(SpecError, match=f"lacks the array '{name}'"):
        PriorNet(fewer)
    with pytest.raises(SpecError, match="all finite"):
        PriorNet({**whole, name: whole[name] * np.nan})
    with pytest.raises(SpecError, match=r"has shape .*; wanted"):
        PriorNet({**whole, name: whole[name][None]})


def test_inputs_of_another_width_are_refused() -> None:
    state = PriorState.empty(4)
    for wrong in (np.zeros((3, 5)), np.zeros(4)):
        with pytest.raises(DataError, match=r"this prior needs \(N, 4\)"):
            state.after(wrong)
        with pytest.raises(DataError, match=r"this prior needs \(N, 4\)"):
            class_features(state, wrong)
    with pytest.raises(DataError, match=r"shape \(3, 6\); a prior net needs \(C, 7\)"):
        net().bias(np.zeros((3, 6)))
