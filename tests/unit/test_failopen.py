"""What fails, or takes too long, is None and counted; what the work waits for is waited for as `await` would."""

import asyncio
import time
from contextlib import aclosing

import pytest

from subsecond.aio.fail_open import fail_open
from subsecond.stats.trace import Trace

BOX = 10.0


@pytest.fixture
def trace():
    return Trace()


async def waiting(*, turns=0, fails=None, result="done"):
    for _ in range(turns):
        await asyncio.sleep(0)
    if fails:
        raise fails
    return result


def busy(seconds):
    """As an embedder that takes the processor."""
    time.sleep(seconds)


@pytest.mark.parametrize("turns", [0, 1, 3])
async def test_the_result_comes_through_however_often_the_work_waits(trace, turns):
    assert await fail_open(trace, "step", waiting(turns=turns), BOX) == "done"
    assert not trace.counts


@pytest.mark.parametrize("turns", [0, 1, 3])
async def test_a_failure_before_or_after_a_wait_is_a_counted_none(trace, turns):
    assert await fail_open(trace, "step", waiting(turns=turns, fails=OSError()), BOX) is None
    assert trace.counts == {"step_failed": 1}


async def test_the_result_and_the_failure_of_what_it_waits_for_reach_the_work(trace):
    async def asking(future):
        try:
            return await future
        except ValueError:
            return "told"

    loop = asyncio.get_running_loop()
    futures = [loop.create_future(), loop.create_future()]
    loop.call_soon(futures[0].set_result, "heard")
    loop.call_soon(futures[1].set_exception, ValueError())
    assert [await fail_open(trace, "step", asking(future), BOX) for future in futures] == ["heard", "told"]
    assert await fail_open(trace, "step", asyncio.ensure_future(waiting()), BOX) == "done"
    assert not trace.counts


@pytest.mark.parametrize("turns", [0, 2])
async def test_past_the_box_the_work_is_ended_and_counted(trace, turns):
    ended = []

    async def endless():
        await waiting(turns=turns)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    assert await fail_open(trace, "step", endless(), 0.01) is None
    assert (ended, trace.counts) == ([True], {"step_failed": 1})


async def test_the_time_before_the_first_wait_counts_too(trace):
    async def slow():
        busy(0.02)
        await asyncio.sleep(0.001)

    assert await fail_open(trace, "step", slow(), 0.01) is None
    assert trace.counts == {"step_failed": 1}


async def test_a_time_limit_inside_the_work_is_its_own(trace):
    async def limited():
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            return "in time"

    assert await fail_open(trace, "step", limited(), BOX) == "in time"
    assert asyncio.current_task().cancelling() == 0


async def test_who_is_cancelled_is_cancelled_and_so_is_the_work(trace):
    ended, begun = [], asyncio.Event()

    async def endless():
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    task = asyncio.create_task(fail_open(trace, "step", endless(), BOX))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended
    assert not trace.counts


async def test_who_is_closed_while_it_waits_closes_the_work(trace):
    ended = []

    async def endless():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def events():
        yield "first"
        await fail_open(trace, "step", endless(), BOX)

    async with aclosing(events()) as source:
        await anext(source)
        step = source.__anext__().__await__()
        next(step)
        with pytest.raises(GeneratorExit):
            step.throw(GeneratorExit)
    assert ended
