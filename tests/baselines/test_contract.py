"""What every method of the catalogue holds to, on nets with batch and with group normalisation."""

from __future__ import annotations

import copy
from contextlib import suppress
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from persona.catalog import load, names
from persona.errors import DataError, SpecError
from tests.baselines.peers import CLASSES, lived_in, window

NETS = {kind: lived_in(kind) for kind in ("bn", "gn")}
CASES = pytest.mark.parametrize(("name", "kind"), list(product(names("methods"), NETS)))
NEEDS_STATISTICS = ("alpha-bn", "bn")


def make(name: str, kind: str, seed: int = 3) -> Any:
    """Return a method; the test is skipped where it says that it cannot use such a net."""
    try:
        return load("methods", name)(NETS[kind], seed)
    except SpecError as error:
        if kind == "bn":
            raise
        pytest.skip(str(error))


def answered(logits: Tensor, n: int) -> bool:
    return logits.shape == (n, CLASSES) and bool(logits.isfinite().all()) and not logits.requires_grad


@CASES
def test_logits_are_finite_and_the_net_is_left_alone(name: str, kind: str) -> None:
    before = copy.deepcopy(NETS[kind].state_dict())
    method = make(name, kind)
    assert answered(method.answer(window(5, 2)), 5)
    for seed in range(4):
        assert answered(method.step(window(16, seed)), 16)
        assert answered(method.answer(window(3, 2)), 3)
    assert all(torch.equal(before[key], value) for key, value in NETS[kind].state_dict().items())
    assert not NETS[kind].training
    assert all(p.requires_grad for p in NETS[kind].parameters())


@CASES
def test_answering_changes_nothing(name: str, kind: str) -> None:
    quiet, asked = make(name, kind), make(name, kind)
    for seed in range(4):
        before = asked.answer(window(6, 9))
        assert torch.equal(asked.answer(window(6, 9)), before)
        assert torch.equal(asked.step(window(16, seed)), quiet.step(window(16, seed)))


@CASES
def test_before_the_first_window_the_source_net_answers(name: str, kind: str) -> None:
    with torch.no_grad():
        expected = NETS[kind](window(6, 9)).log_softmax(1)
    torch.testing.assert_close(make(name, kind).answer(window(6, 9)).log_softmax(1), expected, rtol=1e-4, atol=1e-5)


@CASES
def test_a_refused_window_leaves_no_trace(name: str, kind: str) -> None:
    method, twin = make(name, kind), make(name, kind)
    broken = window(16, 5)
    broken[3, 0, 2, 2], broken[7, 0, 0, 0] = torch.nan, torch.inf
    for seed in range(3):
        for verb in (method.step, method.answer):
            with pytest.raises(DataError, match="2 of 16 samples"):
                verb(broken)
            with pytest.raises(DataError, match="at least one sample"):
                verb(broken[:0])
        assert torch.equal(method.step(window(16, seed)), twin.step(window(16, seed)))


@CASES
@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(window(1, 4), id="one sample"),
        pytest.param(window(1, 4).expand(16, -1, -1, -1).clone(), id="one class"),
        pytest.param(torch.full((16, 1, 8, 8), 0.5), id="constant pictures"),
        pytest.param(torch.zeros(16, 1, 8, 8), id="black"),
        pytest.param(window(16, 4, size=1), id="one pixel"),
        pytest.param(window(1, 4, size=1), id="one pixel of one sample"),
        pytest.param(window(16, 4) * 1e5, id="a wrong scale"),
        pytest.param(window(16, 4) * 1e30, id="an absurd scale"),
    ],
)
def test_odd_windows_are_answered_or_refused_and_then_all_goes_on(name: str, kind: str, odd: Tensor) -> None:
    method = make(name, kind)
    method.step(window(16, 1))
    for _ in range(3):
        for verb in (method.step, method.answer):
            with suppress(DataError):
                assert answered(verb(odd), len(odd))
    for seed in range(3):
        assert answered(method.step(window(16, seed)), 16)
    assert answered(method.answer(window(5, 2)), 5)


@CASES
def test_tuning_finds_few_settings_that_all_work(name: str, kind: str) -> None:
    grid = load("methods", name).GRID
    combinations = list(product(*grid.values()))
    assert 1 <= len(combinations) <= 6
    make(name, kind)
    for values in combinations:
        method = load("methods", name)(NETS[kind], 0, **dict(zip(grid, values, strict=True)))
        assert answered(method.step(window(16, 1)), 16)


@pytest.mark.parametrize("name", NEEDS_STATISTICS)
def test_who_needs_batch_normalisation_says_so(name: str) -> None:
    with pytest.raises(SpecError, match="batch normalisation, and this net has none"):
        load("methods", name)(NETS["gn"], 0)
