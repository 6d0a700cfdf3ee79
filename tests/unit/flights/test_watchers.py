"""One flight in one environment: when its watchers hear of its end, and when it cannot be joined any more."""

from __future__ import annotations

import asyncio

import pytest

from subsecond.errors import DeadlineExceeded
from subsecond.model import Chunk, Done, Head, Recording
from subsecond.single_flight.in_process import Flights
from subsecond.stats.trace import Trace
from tests.support.virtual_time import now, run

ANSWER = Done(Recording("whole", (b"{}",), "stop", "m"))


class Source:
    """A head, a chunk, the answer; then it stores. `order` is shared with the watchers."""

    def __init__(self, order=None, gap=0.0, stores=0.0, cleans=0.0, error=None):
        self.order = [] if order is None else order
        self.gap, self.stores, self.cleans, self.error = gap, stores, cleans, error

    async def events(self):
        try:
            yield Head("upstream", "m")
            yield Chunk(b"{}")
            await asyncio.sleep(self.gap)
            if self.error:
                raise self.error
            yield ANSWER
            self.order.append("stored")
            await asyncio.sleep(self.stores)
        finally:
            await asyncio.sleep(self.cleans)


def watched(source, *, stay=False, count=1, drain=False):
    flights = Flights(drain=drain)
    flight = flights.start("k", Trace(), source.events())
    return flights, flight, [flight.watch(None, stay=stay) for _ in range(count)]


async def read(watcher, order=None):
    found = []
    while (event := await watcher.next()) is not None:
        found.append(event)
        if order is not None and isinstance(event, Done):
            order.append("told")
    return found


def test_nobodys_last_byte_waits_for_the_storing():
    async def story():
        order = []
        _, _, watchers = watched(Source(order), count=3)
        await asyncio.gather(*(read(watcher, order) for watcher in watchers))
        assert order == ["told"] * 3 + ["stored"]

    run(story(), leaves_tasks=True)


@pytest.mark.parametrize(("stay", "alone", "waits"), [(True, False, True), (False, False, False), (False, True, True)])
def test_who_stays_and_who_is_last_wait_for_the_storing(stay, alone, waits):
    async def story():
        _, flight, [watcher] = watched(Source(stores=5.0), stay=stay)
        if not alone:
            flight.watch(None, stay=False)
        begun = now()
        assert (await read(watcher))[-1] is ANSWER
        assert now() - begun == (5.0 if waits else 0.0)

    run(story(), leaves_tasks=True)


def test_a_call_that_was_given_up_is_not_found_while_it_ends():
    async def story():
        flights, flight, [watcher] = watched(Source(gap=1.0, cleans=5.0))
        await watcher.next()
        leaving = asyncio.create_task(watcher.leave())
        await asyncio.sleep(0)
        begun = now()
        assert flights.find("k") is None
        assert len(flights) == 0
        await leaving
        assert now() - begun == 5.0
        assert flight.error is flight.broken()

    run(story(), leaves_tasks=True)


def test_who_leaves_takes_its_deadline_along():
    async def story():
        _, flight, [watcher] = watched(Source())
        other = flight.watch(now() + 9.0, stay=False)
        await read(watcher)
        await other.leave()
        assert other._alarm.cancelled()

    run(story(), leaves_tasks=True)


def test_a_deadline_that_passes_between_two_reads_ends_the_next_wait_at_once():
    async def story():
        flight = Flights().start("k", Trace(), Source(gap=9.0).events())
        watcher = flight.watch(now() + 1.0, stay=False)
        assert [type(await watcher.next()) for _ in range(2)] == [Head, Chunk]
        begun = now()
        await asyncio.sleep(2.0)
        with pytest.raises(DeadlineExceeded):
            await watcher.next()
        assert now() - begun == 2.0

    run(story(), leaves_tasks=True)


def test_each_who_reads_what_failed_gets_the_same_error():
    async def story():
        error = ConnectionError("away")
        _, flight, watchers = watched(Source(error=error), count=2)
        for watcher in watchers:
            with pytest.raises(ConnectionError, match="away"):
                await read(watcher)
        assert flight.error is error

    run(story(), leaves_tasks=True)


def test_what_is_drained_goes_on_without_watchers():
    async def story():
        source = Source(gap=0.5)
        for drain, stored in ((False, []), (True, ["stored"])):
            source.order.clear()
            _, flight, [watcher] = watched(source, drain=drain)
            await watcher.next()
            await watcher.leave()
            await asyncio.sleep(1)
            assert flight.ended
            assert source.order == stored

    run(story(), leaves_tasks=True)
