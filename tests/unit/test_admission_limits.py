"""The queue's limits from both sides, and callers who leave in the moment in which it is their turn."""

import asyncio
from contextlib import AsyncExitStack, suppress

import pytest

from subsecond.config import Settings
from subsecond.errors import Overloaded
from subsecond.upstreams.admission import Admission, Limits

FOREVER = 3600.0


def admission(model=1, tenant=9, waiting=2, patience=FOREVER, ticks=lambda: 0.0):
    return Admission(Limits(model, tenant, waiting, patience, batch=1), ticks=ticks)


class Queue:
    """One call runs; others wait behind it."""

    def __init__(self, busy):
        self.busy = busy
        self.running = AsyncExitStack()

    async def __aenter__(self):
        await self.running.enter_async_context(self.busy.place("m", "first"))
        self.tasks = []
        return self

    async def __aexit__(self, *_error):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.running.aclose()
        assert self.busy.running == self.busy.waiting == 0
        assert not self.busy._lines

    async def waits(self, tenant):
        async def stay():
            async with self.busy.place("m", tenant):
                await asyncio.Event().wait()

        self.tasks.append(asyncio.create_task(stay()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return self.tasks[-1]


async def refused(task):
    with suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await asyncio.wait((task,))
    return task.done() and isinstance(task.exception(), Overloaded)


async def test_a_full_queue_takes_a_newcomer_whose_line_is_shorter_by_two_and_no_other():
    async with Queue(admission(waiting=2)) as queue:
        await queue.waits("greedy")
        newest = await queue.waits("greedy")
        assert not await refused(await queue.waits("modest"))
        assert await refused(newest)
        assert queue.busy.waiting == 2
        assert await refused(await queue.waits("third"))
        assert await refused(await queue.waits("modest"))
        assert queue.busy.waiting == 2


async def test_the_longest_line_makes_room_and_not_a_shorter_one():
    async with Queue(admission(waiting=3)) as queue:
        short = await queue.waits("short")
        await queue.waits("long")
        newest = await queue.waits("long")
        await queue.waits("newcomer")
        assert await refused(newest)
        assert not short.done()


async def test_two_newcomers_in_one_moment_take_two_places():
    async with Queue(admission(waiting=4)) as queue:
        greedy = [await queue.waits("greedy") for _ in range(4)]
        newcomers = [asyncio.create_task(queue.busy.place("m", "modest").__aenter__()) for _ in range(2)]
        queue.tasks += newcomers
        await asyncio.wait(newcomers, timeout=0.05)
        assert [task.done() for task in greedy] == [False, False, True, True]
        assert queue.busy.waiting == 4


async def test_calls_of_no_batch_are_not_bounded_as_one():
    busy = admission(model=9)  # and one of a batch
    async with busy.place("m", "t"), busy.place("m", "t"):
        assert busy.running == 2


async def test_who_makes_room_may_have_been_cancelled_in_that_moment():
    async with Queue(admission(waiting=2)) as queue:
        await queue.waits("greedy")
        newest = await queue.waits("greedy")
        newest.cancel()  # it has not run since
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await queue.busy.place("m", "modest").__aenter__()
        assert newest.cancelled()
        assert queue.busy.waiting == 1


async def test_a_place_is_not_given_to_who_was_cancelled_in_that_moment():
    busy = admission()
    async with AsyncExitStack() as first:
        await first.enter_async_context(busy.place("m", "t"))
        waiters = [asyncio.create_task(busy.place("m", "t").__aenter__()) for _ in range(2)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        await first.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiters[0]
    await waiters[1]
    assert (busy.running, busy.waiting) == (1, 0)


async def test_a_deadline_that_is_no_nearer_than_the_patience_is_a_429():
    busy = admission(patience=0.0)
    async with busy.place("m", "t"):
        with pytest.raises(Overloaded):
            await busy.place("m", "t", deadline=0.0).__aenter__()


@pytest.mark.parametrize(("places", "seconds"), [(1, "57"), (2, "29")])
async def test_retry_after_is_the_moving_average_over_the_places(places, seconds):
    now = 0.0
    busy = Admission(Limits(places, places, 0, 1.0, batch=1), ticks=lambda: now)
    for _ in range(2):
        async with busy.place("m", "t"):
            now += 300.0
    async with AsyncExitStack() as full:
        for _ in range(places):
            await full.enter_async_context(busy.place("m", "t"))
        with pytest.raises(Overloaded) as caught:
            await busy.place("m", "t").__aenter__()
    assert caught.value.retry_after == seconds


def test_the_limits_are_the_settings():
    settings = Settings(model_calls=1, tenant_calls=2, waiting_calls=3, waiting_time=4.0, batch_concurrency=5)
    assert Limits.of(settings) == Limits(model=1, tenant=2, waiting=3, patience=4.0, batch=5)
