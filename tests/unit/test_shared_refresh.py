"""One refresh is shared by all who wait for it, and outlives them."""

import asyncio
import gc

import pytest

from subsecond.aio.shared_refresh import SharedRefresh


class World:
    """A clock that is turned by hand, and work that ends when it is told to."""

    def __init__(self):
        self.now = 100.0
        self.runs = 0
        self.ended = 0
        self.error = None
        self.go = asyncio.Event()
        self.go.set()

    async def work(self):
        self.runs += 1
        await self.go.wait()
        if self.error:
            raise self.error
        self.ended += 1

    def refresh(self, every=10.0):
        return SharedRefresh(self.work, every, lambda: self.now)


@pytest.fixture
def world():
    return World()


async def test_it_runs_at_most_once_in_its_interval_and_again_after_it(world):
    refresh = world.refresh()
    for now, runs in ((100.0, 1), (109.9, 1), (110.0, 2), (50.0, 3)):
        world.now = now
        await refresh.wait()
        assert world.runs == runs
    refresh.expire()
    await refresh.wait()
    assert world.runs == 4


async def test_all_who_wait_share_one_run_and_a_cancelled_waiter_ends_nobody_elses(world):
    world.go.clear()
    refresh = world.refresh(every=0.0)
    first, second = asyncio.create_task(refresh.wait()), asyncio.create_task(refresh.wait())
    await asyncio.sleep(0)
    assert refresh.is_running
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    world.go.set()
    await second
    assert (world.runs, world.ended, refresh.is_running) == (1, 1, False)


async def test_a_failure_is_raised_to_who_waits_and_reported_for_nobody(world):
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))
    world.error = ConnectionError("away")
    refresh = world.refresh(every=0.0)
    with pytest.raises(ConnectionError):
        await refresh.wait()
    refresh.begin()
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()  # a task reports its error when it goes
    assert world.runs == 2
    assert not refresh.is_running
    assert not reported


async def test_what_runs_can_be_cancelled(world):
    world.go.clear()
    refresh = world.refresh()
    assert refresh.cancel() is None
    refresh.begin()
    await asyncio.sleep(0)
    await asyncio.gather(refresh.cancel(), return_exceptions=True)
    await asyncio.sleep(0)
    assert (world.ended, refresh.is_running) == (0, False)
