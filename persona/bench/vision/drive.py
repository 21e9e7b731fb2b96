"""One method over one stream: how many it gets right in each window, when, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from persona.baselines.base import Method
from persona.errors import PersonaError
from persona.tasks.vision.streams import Window

Make = Callable[[int], Method]
Labels = npt.NDArray[np.int64]
Clock = Callable[[], float]


@dataclass
class Track:
    """Right answers by window: `same` with what the window itself taught, `causal` with what was known before it.

    `step_ms` and `answer_ms` are what each window took in that verb, learning from its labels included where they are
    revealed; `refused` counts windows that the method refused.
    """

    same: list[int] = field(default_factory=list)
    causal: list[int] = field(default_factory=list)
    step_ms: list[float] = field(default_factory=list)
    answer_ms: list[float] = field(default_factory=list)
    refused: int = 0


def follow(make: Make, streams: Sequence[Iterable[Window]], clock: Clock = time.perf_counter) -> list[Track]:
    """Return one track a device; `make` builds the method anew for each, given the device's number.

    A method that refuses a window by an error of ours is counted as wrong for all of it: a device has to answer. One
    with `reveal` is told the labels of a window after it answered for it, and of none that it refused.
    """
    return [_follow_one(make(device), stream, clock) for device, stream in enumerate(streams)]


def follow_at_constant_speed(make: Make, streams: Sequence[Iterable[Window]], slowness: int) -> list[list[int]]:
    """Return right answers by window of each device where the method is `slowness` times as slow as the plain model.

    It steps on every `slowness`-th window and answers for the others with what it knows (Alfarra et al., "Evaluation of
    Test-Time Adaptation Under Computational Time Constraints", ICML 2024).
    """
    rows: list[list[int]] = []
    for device, stream in enumerate(streams):
        method, row = make(device), list[int]()
        for number, (x, y) in enumerate(_tensors(stream)):
            steps = number % slowness == 0
            right = _right(method.step if steps else method.answer, x, y)
            row.append(max(right, 0))
            if steps and right >= 0:
                _reveal(method, x, y)
        rows.append(row)
    return rows


def _follow_one(method: Method, stream: Iterable[Window], clock: Clock) -> Track:
    track = Track()
    for x, y in _tensors(stream):
        start = clock()
        causal = _right(method.answer, x, y)
        middle = clock()
        same = _right(method.step, x, y)
        end = clock()
        if same >= 0 and _reveal(method, x, y):
            end = clock()
        track.step_ms.append(1e3 * (end - middle))
        track.answer_ms.append(1e3 * (middle - start))
        track.causal.append(max(causal, 0))
        track.same.append(max(same, 0))
        track.refused += same < 0
    return track


def _tensors(stream: Iterable[Window]) -> Iterator[tuple[Tensor, Labels]]:
    for window in stream:
        yield torch.from_numpy(window.x), window.y


def _reveal(method: Method, x: Tensor, y: Labels) -> bool:
    """Tell the labels to a method that takes them, and return whether it did."""
    reveal = getattr(method, "reveal", None)
    if reveal is not None:
        reveal(x, torch.from_numpy(y))
    return reveal is not None


def _right(verb: Callable[[Tensor], Tensor], x: Tensor, y: Labels) -> int:
    """Return how many of a window's samples are right, -1 where the method refuses the window."""
    try:
        logits = verb(x)
    except PersonaError:
        return -1
    return int((logits.detach().argmax(dim=1).numpy() == y).sum())
