"""CEMA: what is sent, by its entropy; norms alone move, and towards the teacher; the replay is bounded."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from persona.baselines.cema import Cema
from persona.errors import DataError, SpecError
from tests.baselines.peers import lived_in

EVERYTHING = {"lower": 0.0, "upper": 1.0}


def windows(count: int) -> Tensor:
    return torch.rand(count, 8, 1, 28, 28, generator=torch.Generator().manual_seed(1))


def two_class(share: float) -> list[float]:
    """Return logits whose entropy is that share of ln 2, by bisection."""
    low, high = 0.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        p = 1 / (1 + math.exp(-middle))
        entropy = -(p * math.log(p) + (1 - p) * math.log1p(-p)) if p < 1 else 0.0
        low, high = (middle, high) if entropy > share * math.log(2) else (low, middle)
    return [low, 0.0]


def test_what_is_sent_lies_between_the_bounds() -> None:
    method = Cema(lived_in("bn"), lived_in("bn", 1), 0, upper=0.4, lower=0.02)
    logits = torch.tensor([two_class(share) for share in (0.01, 0.019, 0.021, 0.2, 0.399, 0.401, 0.99)])
    assert method.is_worth_sending(logits).tolist() == [False, False, True, True, True, False, False]


def test_nothing_sent_nothing_learned() -> None:
    method = Cema(lived_in("bn"), lived_in("bn", 1), 0, lower=0.0, upper=1e-9)
    x = windows(1)[0]
    before = method.step(x)
    torch.testing.assert_close(method.step(x), before)
    assert not method._replay


@pytest.mark.parametrize("kind", ["bn", "gn"])
def test_the_device_moves_towards_the_teacher_and_by_its_norms_alone(kind: str) -> None:
    student, teacher = lived_in(kind), lived_in(kind, 1)
    given = copy.deepcopy((student.state_dict(), teacher.state_dict()))
    method = Cema(student, teacher, 0, alpha=1.0, **EVERYTHING)
    x = windows(1)[0]
    before = method.step(x)
    with torch.no_grad():
        target = method._teacher.answer(x)

    def apart(logits: Tensor) -> Tensor:
        soft = F.kl_div(logits.log_softmax(1), target.softmax(1), reduction="batchmean")
        return soft + F.cross_entropy(logits, target.argmax(1))

    assert apart(method.answer(x)) < apart(before)
    again = copy.deepcopy(student)
    apart(again(x)).backward()
    for name, parameter in again.named_parameters():
        if name.startswith("norm") and parameter.grad is not None:
            parameter.data -= 1e-3 * parameter.grad / (parameter.grad.abs() + 1e-8)  # Adam's first step
    torch.testing.assert_close(method.answer(x), again(x), atol=1e-4, rtol=1e-3)
    own = method._student.net.state_dict()
    names = {n for n, p in student.named_parameters() if not torch.equal(p, own[n])}
    assert names == {f"norm{i}.{kind}" for i in (1, 2, 3) for kind in ("weight", "bias")}
    for net, then in zip((student, teacher), given, strict=True):
        assert all(torch.equal(value, then[name]) for name, value in net.state_dict().items())


def test_the_teacher_grows_surer() -> None:
    method = Cema(lived_in("gn"), lived_in("gn", 1), 0, **EVERYTHING)
    x = windows(1)[0]

    def entropy() -> float:
        with torch.no_grad():
            logs = method._teacher.answer(x).log_softmax(1)
        return float(-(logs.exp() * logs).sum(1).mean())

    before = entropy()
    for _ in range(5):
        method.step(x)
    assert entropy() < before


def test_the_replay_is_bounded() -> None:
    method = Cema(lived_in("bn"), lived_in("bn", 1), 0, replay=12, **EVERYTHING)
    for number, x in enumerate(windows(4), start=1):
        method.step(x)
        assert len(method._replay) == min(8 * number, 12)
    assert len(method._drawn(8)) == 8
    assert len({float(sample.sum()) for sample in method._drawn(8)}) == 8
    assert torch.isfinite(Cema(lived_in("bn"), lived_in("bn", 1), 0, replay=0, **EVERYTHING).step(x)).all()


def test_an_answer_changes_nothing_and_a_step_answers_before_it_learns() -> None:
    method = Cema(lived_in("gn"), lived_in("gn", 1), 0, rate=1e-2, **EVERYTHING)
    x = windows(1)[0]
    before = method.answer(x)
    torch.testing.assert_close(method.answer(x), before)
    torch.testing.assert_close(method.step(x), before)
    assert not torch.allclose(method.answer(x), before)


def test_a_bad_window_leaves_no_trace() -> None:
    method = Cema(lived_in("bn"), lived_in("bn", 1), 0, **EVERYTHING)
    x = windows(1)[0]
    before = method.answer(x)
    for bad in (x * torch.nan, x[:0]):
        with pytest.raises(DataError):
            method.step(bad)
    torch.testing.assert_close(method.answer(x), before)


@pytest.mark.parametrize("x", [torch.zeros(1, 1, 28, 28), torch.ones(4, 1, 28, 28)], ids=["one black", "all white"])
def test_constant_windows_are_answered(x: Tensor) -> None:
    method = Cema(lived_in("bn"), lived_in("bn", 1), 0, **EVERYTHING)
    for _ in range(3):
        assert torch.isfinite(method.step(x)).all()
    assert torch.isfinite(method.answer(windows(1)[0])).all()


def test_settings_of_the_grid_are_settings() -> None:
    for name, values in Cema.GRID.items():
        for value in values:
            Cema(lived_in("bn"), lived_in("bn", 1), 0, **{name: value})
    with pytest.raises(SpecError, match="lower < upper"):
        Cema(lived_in("bn"), lived_in("bn", 1), 0, lower=0.5)
