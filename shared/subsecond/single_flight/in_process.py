"""One answer on its way in this process, and those who watch it.

The events so far stay in the flight, and each watcher reads on from where it is: whoever comes late misses nothing, and
a slow reader holds up nobody. Memory holds one answer, as its recording does anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import aclosing
from types import TracebackType

from subsecond.errors import DeadlineExceeded, UpstreamUnreachable
from subsecond.model import Done, Event
from subsecond.stats.trace import Trace


class Flights:
    """The flights of this process, by what is asked. `drain`: an answer that nobody waits for any more is read to its
    end, and so stored; else the last one who leaves ends it."""

    def __init__(self, *, drain: bool = False) -> None:
        self._drain = drain
        self._aloft: dict[Hashable, Flight] = {}

    def __len__(self) -> int:
        return len(self._aloft)

    def find(self, key: Hashable) -> Flight | None:
        """The running flight of this key. Only what is joined without waiting in between is surely still there."""
        flight = self._aloft.get(key)
        return flight if flight and not flight.ended else None

    def start(self, key: Hashable, trace: Trace, events: AsyncGenerator[Event]) -> Flight:
        """Let `events` run in a task of their own. Whoever starts a flight is to watch it. trace: the leader's."""
        flight = self._aloft[key] = Flight(trace, events, drain=self._drain)
        flight.when_over(lambda: self._forget(key, flight))
        return flight

    def _forget(self, key: Hashable, flight: Flight) -> None:
        if self._aloft.get(key) is flight:
            del self._aloft[key]


class Flight:
    """Its source gives a Head, Chunks and Done, or raises; what it does after Done (it stores) is done for all."""

    def __init__(self, trace: Trace, source: AsyncGenerator[Event], *, drain: bool) -> None:
        self.trace = trace
        # Whether the leader has left before it was known what the call costs, and no other has taken that on.
        self.unpaid = False
        self._events: list[Event] = []
        self._drain = drain
        self._watchers: set[_Watcher] = set()
        self._given_up = False
        self._origin: TracebackType | None = None
        self._over: Callable[[], None] = lambda: None
        self._task = asyncio.create_task(self._fly(source))
        self._task.add_done_callback(lambda _: self._land())

    @property
    def ended(self) -> bool:
        """Nobody shall join it any more."""
        return self._given_up or self._task.done()

    @property
    def error(self) -> BaseException | None:
        """What ended it before its time."""
        if self._given_up or self._task.cancelled():
            return _GIVEN_UP
        return self._task.exception() if self._task.done() else None

    def when_over(self, callback: Callable[[], None]) -> None:
        """To be called once, when nobody can join it any more."""
        self._over = callback

    async def watch(self, until: float | None, *, stay: bool) -> AsyncGenerator[Event]:
        """The events from the first one on. `stay`: end only when the source has ended, after its writes; the last
        watcher does so in any case.

        Raises the source's error, or DeadlineExceeded at `until` (the loop's clock).
        """
        me = _Watcher(until)
        self._watchers.add(me)
        try:
            at = 0
            while not self._complete(at):
                if at < len(self._events):
                    at += 1
                    yield self._events[at - 1]
                elif self.ended:
                    # Several raise the same error: each shall show where it began, and its own way alone.
                    raise (self.error or _GIVEN_UP).with_traceback(self._origin)
                else:
                    await me.wait()
            if stay or len(self._watchers) == 1:
                await asyncio.wait((self._task,))
                if error := self.error:
                    raise error
        finally:
            me.close()
            self._watchers.discard(me)
            await self._left()

    def _complete(self, at: int) -> bool:
        """Whether Done is among the first `at` events."""
        return at > 0 and isinstance(self._events[at - 1], Done)

    async def _fly(self, source: AsyncGenerator[Event]) -> None:
        async with aclosing(source) as events:
            async for event in events:
                self._events.append(event)
                self._wake()
                if isinstance(event, Done):
                    # The watchers go first: nobody's last byte waits for what the source does now.
                    await asyncio.sleep(0)

    async def _left(self) -> None:
        """A watcher has gone. With the last one the call ends, unless the answer is complete and only to be stored."""
        complete = self._complete(len(self._events))
        if self._watchers or self._drain or complete or self.ended:
            return
        self._given_up = True
        self._over()
        self._task.cancel()
        await asyncio.wait((self._task,))

    def _land(self) -> None:
        # Taken, so that the loop does not report it as forgotten.
        if not self._task.cancelled() and (error := self._task.exception()):
            self._origin = error.__traceback__
        self._over()
        self._wake()

    def _wake(self) -> None:
        for watcher in self._watchers:
            watcher.wake()


class _Watcher:
    """One who waits. One timer for all its waits: a timer for each chunk would cost as much as the chunk."""

    __slots__ = ("_alarm", "_late", "_waiter")

    def __init__(self, until: float | None) -> None:
        self._late = False
        self._waiter: asyncio.Future[None] | None = None
        self._alarm = None if until is None else asyncio.get_running_loop().call_at(until, self._expire)

    async def wait(self) -> None:
        if not self._late:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._late:
            raise DeadlineExceeded("The time limit of this request is used up.")

    def wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        if self._alarm:
            self._alarm.cancel()

    def _expire(self) -> None:
        self._late = True
        self.wake()


_GIVEN_UP = UpstreamUnreachable("The call that this request had joined was given up.")
