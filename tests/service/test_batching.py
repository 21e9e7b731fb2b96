"""Greedy batching: what waits goes together, what fails fails alone, and there is an end to the queue."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from persona.errors import Overloaded
from persona.service.batching import Batcher
from persona.service.limits import Limits


class Doubling:
    """Work that doubles numbers, remembers its batches, refuses negative ones, and can be held up."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.started = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.started.set()
        assert self.may_go_on.wait(30)
        if min(items) < 0:
            raise ValueError(f"{min(items)} is negative")
        return [2 * item for item in items]


async def held_up(work: Doubling, batcher: Batcher[int, int]) -> asyncio.Task[int]:
    """Return the task of an item, 0, that is being worked on and will be until `work.may_go_on`."""
    work.may_go_on.clear()
    first = asyncio.create_task(batcher.submit(0))
    assert await asyncio.to_thread(work.started.wait, 30)
    return first


async def submitted(batcher: Batcher[int, int], *items: int) -> list[asyncio.Task[int]]:
    """Return the tasks of items that are in the queue."""
    tasks = [asyncio.create_task(batcher.submit(item)) for item in items]
    await asyncio.sleep(0)  # lets the tasks start, takes no time
    return tasks


def test_what_waits_for_the_thread_goes_into_one_run() -> None:
    work = Doubling()

    async def story() -> None:
        batcher = Batcher(work, Limits())
        first = await held_up(work, batcher)
        rest = await submitted(batcher, 1, 2, 3, 4)
        work.may_go_on.set()
        assert await asyncio.gather(first, *rest) == [0, 2, 4, 6, 8]
        await batcher.close()

    asyncio.run(story())
    assert work.batches == [[0], [1, 2, 3, 4]]


def test_a_run_takes_no_more_than_its_limit() -> None:
    work = Doubling()

    async def story() -> None:
        batcher = Batcher(work, Limits(batch=3))
        first = await held_up(work, batcher)
        rest = await submitted(batcher, 1, 2, 3, 4, 5, 6, 7)
        work.may_go_on.set()
        await asyncio.gather(first, *rest)
        await batcher.close()

    asyncio.run(story())
    assert work.batches == [[0], [1, 2, 3], [4, 5, 6], [7]]


def test_an_item_that_fails_fails_alone() -> None:
    work = Doubling()

    async def story() -> list[int | BaseException]:
        batcher = Batcher(work, Limits())
        first = await held_up(work, batcher)
        rest = await submitted(batcher, 1, -2, 3)
        work.may_go_on.set()
        await first
        outcomes = await asyncio.gather(*rest, return_exceptions=True)
        assert await batcher.submit(5) == 10  # the thread lives on
        await batcher.close()
        return outcomes

    one, two, three = asyncio.run(story())
    assert (one, three) == (2, 6)
    assert isinstance(two, ValueError)
    assert "-2 is negative" in str(two)


def test_a_full_queue_refuses_at_once() -> None:
    work = Doubling()

    async def story() -> None:
        batcher = Batcher(work, Limits(waiting=2))
        first = await held_up(work, batcher)
        rest = await submitted(batcher, 1, 2)
        with pytest.raises(Overloaded, match="2 requests wait"):
            await batcher.submit(3)
        work.may_go_on.set()
        assert await asyncio.gather(first, *rest) == [0, 2, 4]
        assert await batcher.submit(3) == 6  # there is room again
        await batcher.close()

    asyncio.run(story())


def test_what_waited_too_long_is_refused_and_not_worked_on() -> None:
    work = Doubling()

    async def story() -> None:
        batcher = Batcher(work, Limits(wait_s=-1))  # however soon its turn comes, it is too late
        with pytest.raises(Overloaded, match="turn did not come"):
            await batcher.submit(1)
        await batcher.close()

    asyncio.run(story())
    assert work.batches == []


def test_an_item_whose_asker_left_is_not_worked_on() -> None:
    work = Doubling()

    async def story() -> None:
        batcher = Batcher(work, Limits())
        first = await held_up(work, batcher)
        gone, stays = await submitted(batcher, 1, 2)
        gone.cancel()
        work.may_go_on.set()
        assert await asyncio.gather(first, stays) == [0, 4]
        await batcher.close()

    asyncio.run(story())
    assert work.batches == [[0], [2]]


def test_an_asker_may_leave_while_its_item_is_worked_on() -> None:
    work = Doubling()

    async def story() -> None:
        batcher = Batcher(work, Limits())
        first = await held_up(work, batcher)
        first.cancel()
        stays = await submitted(batcher, 2)
        work.may_go_on.set()
        assert await stays[0] == 4
        await batcher.close()

    asyncio.run(story())


def test_closing_answers_what_waits_and_refuses_what_comes() -> None:
    work = Doubling()

    async def story() -> None:
        batcher = Batcher(work, Limits())
        first = await held_up(work, batcher)
        rest = await submitted(batcher, 1, 2)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="shut down"):
            await batcher.submit(3)
        work.may_go_on.set()
        await closing
        assert await asyncio.gather(first, *rest) == [0, 2, 4]

    asyncio.run(story())


def test_closing_an_idle_batcher_ends_it() -> None:
    asyncio.run(Batcher(Doubling(), Limits()).close())
