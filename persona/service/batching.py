"""Greedy micro-batching: whatever arrives while the worker thread is busy goes into its next run.

There is no fixed wait: a lone request starts at once, a crowd shares runs. (A window of 2 ms would make a
single client six times slower.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from persona.errors import Overloaded
from persona.service.limits import Limits

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batcher(Generic[Item, Answer]):
    """Runs `work` on lists of items in one thread of its own.

    `work` takes items and returns as many answers. Where it raises, its items are tried one by one, so that
    an item that fails fails alone.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Answer]],
        limits: Limits,
        ran: Callable[[Sequence[float], float], None] = lambda _waited_s, _seconds: None,
    ) -> None:
        """Of the limits, `batch`, `waiting` and `wait_s` count here.

        `ran` is told of every run: how long each of its items waited, and how long it took.
        """
        self._ran = ran
        self._started: float | None = None
        self._work = work
        self._limits = limits
        self._waiting: deque[tuple[Item, asyncio.Future[Answer], float]] = deque()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="persona-batch")
        self._pump: asyncio.Task[None] | None = None
        self._closed = False

    def check_room(self) -> None:
        """Raise Overloaded where `submit` would have no room."""
        if self._closed:
            raise Overloaded("the service has shut down; ask again")
        if len(self._waiting) >= self._limits.waiting:
            raise Overloaded(f"{len(self._waiting)} requests wait, as many as there is room for; ask again")

    @property
    def depth(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    def stuck(self, now: float) -> bool:
        """Return whether the present run takes longer than an item may wait, by the loop's clock."""
        return self._started is not None and now - self._started > self._limits.wait_s

    async def submit(self, item: Item) -> Answer:
        """Return the answer to one item, or raise what `work` raised for it.

        Overloaded where there is no room, or its turn does not come in time.
        """
        self.check_room()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, answer, loop.time() + self._limits.wait_s))
        if self._pump is None or self._pump.done():
            self._pump = loop.create_task(self._run_until_empty())
        return await answer

    async def close(self) -> None:
        """Refuse new items, answer the waiting ones, end the thread."""
        self._closed = True
        if self._pump is not None:
            await self._pump
        self._thread.shutdown()

    async def _run_until_empty(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            self._started = loop.time()
            batch = self._take(self._started)
            outcomes = await loop.run_in_executor(self._thread, self._try_all, [item for item, _, _ in batch])
            if batch:
                waited_s = [self._started - deadline + self._limits.wait_s for _, _, deadline in batch]
                self._ran(waited_s, loop.time() - self._started)
            self._started = None
            for (_, answer, _), outcome in zip(batch, outcomes, strict=True):
                if answer.cancelled():  # nobody waits for it any more
                    continue
                if isinstance(outcome, Exception):
                    answer.set_exception(outcome)
                else:
                    answer.set_result(outcome)

    def _take(self, now: float) -> list[tuple[Item, asyncio.Future[Answer], float]]:
        """Return the next items that somebody still waits for; those that waited too long are refused here."""
        batch: list[tuple[Item, asyncio.Future[Answer], float]] = []
        while self._waiting and len(batch) < self._limits.batch:
            item, answer, deadline = self._waiting.popleft()
            if answer.cancelled():
                continue
            if now > deadline:
                answer.set_exception(Overloaded(f"its turn did not come within {self._limits.wait_s:g} s; ask again"))
            else:
                batch.append((item, answer, deadline))
        return batch

    def _try_all(self, items: Sequence[Item]) -> Sequence[Answer | Exception]:
        try:
            return self._work(items) if items else []
        except Exception as error:  # noqa: BLE001 (whatever it is, it is the answer to a request)
            return [error] if len(items) == 1 else [self._try_all([item])[0] for item in items]
