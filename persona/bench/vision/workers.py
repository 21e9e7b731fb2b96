"""Work spread over processes of one torch thread each, with a count of what is done that all of them add to."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from typing import Any

import torch

Told = Callable[[str, float, float], None]  # what, done, in all
POLL_S = 1.0

_done: Any = None  # the count of this process's pool


def spread(work: Callable[..., object], arguments: Sequence[tuple[Any, ...]], workers: int) -> _Work:
    """Return calls to be made by `workers` processes; nothing starts before `_Work.finish`."""
    return _Work(work, arguments, workers)


class _Work:
    def __init__(self, work: Callable[..., object], arguments: Sequence[tuple[Any, ...]], workers: int) -> None:
        self._work, self._arguments, self._workers = work, arguments, workers

    def finish(self, what: str, total: float, told: Told, take: Callable[[Any], object] = bool) -> None:
        """Make all calls, and tell how far they are; `take` is handed what each gives as soon as it ends.

        The first error of one is raised, and ends the others.
        """
        if not self._arguments:
            return
        context = multiprocessing.get_context("spawn")
        done = context.Value("d", 0.0)
        with ProcessPoolExecutor(self._workers, context, initializer=_start, initargs=(done,)) as pool:
            open_calls = {pool.submit(self._work, *each) for each in self._arguments}
            try:
                while open_calls:
                    ended, open_calls = wait(open_calls, timeout=POLL_S, return_when=FIRST_COMPLETED)
                    for call in ended:
                        take(call.result())
                    told(what, min(done.value, total), total)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def add_done(amount: float) -> None:
    """Count work as done, in a process of `spread`; elsewhere nobody counts."""
    if _done is not None:
        with _done.get_lock():
            _done.value += amount


def count_step(step: int, steps: int, loss: float) -> None:
    """Count one step of training as done."""
    add_done(1)


def _start(done: Any) -> None:
    global _done  # noqa: PLW0603  # one count a process, given when it starts
    _done = done
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    # Two busy processes with two threads each are many times slower than with one each.
    torch.set_num_threads(1)


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone, killed for example: nobody waits for its work then."""
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os._exit(1)
