"""Streams followed by methods whose right answers are known in advance."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from torch import Tensor

from persona.bench.vision.drive import follow, follow_at_constant_speed
from persona.tasks.vision import Domain, Window
from tests.bench.vision.methods import Reader, Told
from tests.tiny_task import CLASSES

SIZE = 6


def stream(windows: int, dark: tuple[int, ...] = (), seed: int = 0) -> Iterator[Window]:
    """Yield windows whose pixels are their labels; dark ones are negative."""
    rng = np.random.default_rng(seed)
    for number in range(windows):
        y = rng.integers(CLASSES, size=SIZE).astype(np.int64)
        x = y.astype(np.float32).reshape(-1, 1, 1, 1)
        yield Window(x - 9 if number in dark else x, y, Domain(), 0, number == 0)


def test_what_a_window_teaches_counts_in_its_own_answer_and_before_that_not() -> None:
    """Right once it has stepped: in the same window's answer, and in answers before a window from the second on."""
    (track,) = follow(lambda device: Reader(slow=1), [stream(4)])
    assert track.same == [SIZE] * 4
    assert track.causal == [0, SIZE, SIZE, SIZE]
    (track,) = follow(lambda device: Reader(slow=2), [stream(4)])
    assert (track.same, track.causal) == ([0, SIZE, SIZE, SIZE], [0, 0, SIZE, SIZE])
    assert track.refused == 0


def test_every_device_has_a_method_of_its_own() -> None:
    made: list[tuple[int, Reader]] = []

    def make(device: int) -> Reader:
        made.append((device, Reader(slow=1)))
        return made[-1][1]

    tracks = follow(make, [stream(2), stream(3, seed=1)])
    assert [device for device, _ in made] == [0, 1]
    assert [track.causal for track in tracks] == [[0, SIZE], [0, SIZE, SIZE]]


def test_a_refused_window_counts_as_wrong_and_the_stream_goes_on() -> None:
    (track,) = follow(lambda device: Reader(slow=1), [stream(4, dark=(1, 3))])
    assert track.same == [SIZE, 0, SIZE, 0]
    assert track.causal == [0, 0, SIZE, 0]
    assert track.refused == 2


class Broken(Reader):
    def step(self, x: Tensor) -> Tensor:
        raise ZeroDivisionError


def test_an_error_that_is_not_ours_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        follow(lambda device: Broken(), [stream(1)])


def test_labels_are_told_after_the_answer_and_never_for_a_refused_window() -> None:
    method = Told()
    follow(lambda device: method, [stream(3, dark=(1,))])
    assert method.heard == ["answer", "step", "reveal", "answer", "step", "answer", "step", "reveal"]


def test_both_verbs_are_timed_in_milliseconds() -> None:
    """The clock reads 0, 1, 4 in the first window and 9, 16, 25 in the second: the squares."""
    reads = iter(number**2 for number in range(6))
    (track,) = follow(lambda device: Reader(), [stream(2)], clock=lambda: float(next(reads)))
    assert (track.answer_ms, track.step_ms) == ([1000, 7000], [3000, 9000])


def test_learning_from_labels_belongs_to_the_step() -> None:
    reads = iter(number**2 for number in range(4))
    (track,) = follow(lambda device: Told(), [stream(1)], clock=lambda: float(next(reads)))
    assert (track.answer_ms, track.step_ms) == ([1000], [8000])


def test_at_constant_speed_a_slow_method_steps_on_every_third_window() -> None:
    method = Told(slow=2)
    rows = follow_at_constant_speed(lambda device: method, [stream(7)], slowness=3)
    assert method.heard == [
        "step",
        "reveal",
        "answer",
        "answer",
        "step",
        "reveal",
        "answer",
        "answer",
        "step",
        "reveal",
    ]
    assert rows == [[0, 0, 0, SIZE, SIZE, SIZE, SIZE]], "right from its second step on"


def test_at_constant_speed_a_fast_method_is_as_in_the_same_window() -> None:
    rows = follow_at_constant_speed(lambda device: Reader(slow=2), [stream(4), stream(3, dark=(2,))], slowness=1)
    assert rows == [[0, SIZE, SIZE, SIZE], [0, SIZE, 0]]
    method = Told()
    follow_at_constant_speed(lambda device: method, [stream(2, dark=(0,))], slowness=1)
    assert method.heard == ["step", "step", "reveal"]
