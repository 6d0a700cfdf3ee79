"""What is made when it is first needed is made once."""

import asyncio
import threading

import pytest

from subsecond.aio.lazy import Lazy


async def test_it_is_made_once_by_whoever_asks_first_and_not_in_the_loops_thread():
    made = []

    def make():
        made.append(threading.current_thread())
        return "made"

    lazy = Lazy(make)
    assert lazy.made is None
    assert await asyncio.gather(*(lazy.get() for _ in range(5))) == ["made"] * 5
    assert lazy.made == "made"
    assert len(made) == 1
    assert made[0] is not threading.main_thread()


async def test_a_failure_is_told_to_all_who_wait_and_the_next_one_tries_again():
    tries = []

    def make():
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("not yet")
        return len(tries)

    lazy = Lazy(make)
    told = await asyncio.gather(lazy.get(), lazy.get(), return_exceptions=True)
    assert [type(one) for one in told] == [ValueError, ValueError]
    assert await lazy.get() == 2


async def test_who_is_cancelled_takes_nobody_along():
    go = threading.Event()
    lazy = Lazy(lambda: go.wait(10))
    first, second = asyncio.create_task(lazy.get()), asyncio.create_task(lazy.get())
    await asyncio.sleep(0)
    first.cancel()
    go.set()
    assert await second is True
    with pytest.raises(asyncio.CancelledError):
        await first
