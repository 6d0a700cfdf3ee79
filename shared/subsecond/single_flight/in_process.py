"""One answer on its way in this process, and those who watch it.

The events so far stay in the flight, and each watcher reads on from where it is: whoever comes late misses nothing, and
a slow reader holds up nobody. Memory holds one answer, as its recording does anyway.

A flight has a task of its own, although most are watched by their leader alone. The leader's client may hang up while
others watch, and that cancels whatever its request awaits at that moment: a call made there would end for all.
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
        self.events: list[Event] = []
        self._drain = drain
        self._watchers: set[Watcher] = set()
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

    def watch(self, until: float | None, *, stay: bool) -> Watcher:
        """Reads the events from the first one on; to be left. until: its deadline on the loop's clock. stay: the events
        end only when the source has ended, after its writes; for the last watcher they do in any case."""
        watcher = Watcher(self, until, stay=stay)
        self._watchers.add(watcher)
        return watcher

    def broken(self) -> BaseException:
        """The error of a flight that ended without Done, to be raised. Several raise it: each shall show where it
        began, and its own way alone."""
        return (self.error or _GIVEN_UP).with_traceback(self._origin)

    def is_last(self, watcher: Watcher) -> bool:
        """Whether nobody else watches."""
        return self._watchers == {watcher}

    async def _fly(self, source: AsyncGenerator[Event]) -> None:
        async with aclosing(source) as events:
            async for event in events:
                self.events.append(event)
                self._wake()
                if isinstance(event, Done):
                    # The watchers go first: nobody's last byte waits for what the source does now.
                    await asyncio.sleep(0)

    async def left(self, watcher: Watcher) -> None:
        """With the last watcher the call ends, unless the answer is complete and only to be stored."""
        self._watchers.discard(watcher)
        complete = bool(self.events) and isinstance(self.events[-1], Done)
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


class Watcher:
    """One who watches a flight. One timer for all its waits: a timer for each chunk would cost as much as the chunk."""

    __slots__ = ("_alarm", "_at", "_complete", "_flight", "_late", "_stay", "_waiter")

    def __init__(self, flight: Flight, until: float | None, *, stay: bool) -> None:
        self._flight = flight
        self._at = 0
        self._complete = False
        self._stay = stay
        self._late = False
        self._waiter: asyncio.Future[None] | None = None
        self._alarm = None if until is None else asyncio.get_running_loop().call_at(until, self._expire)

    async def next(self) -> Event | None:
        """The next event; None after Done. Raises the source's error, or DeadlineExceeded."""
        flight = self._flight
        while not self._complete:
            if self._at < len(flight.events):
                event = flight.events[self._at]
                self._at += 1
                self._complete = isinstance(event, Done)
                return event
            if flight.ended:
                raise flight.broken()
            await self._wait()
        if self._stay or flight.is_last(self):
            # Its end wakes us too. `asyncio.wait` for its task took 2 % of a whole miss's time.
            while not flight.ended:
                await self._woken()
            if error := flight.error:
                raise error
        return None

    async def leave(self) -> None:
        """To be called once, however it ends."""
        if self._alarm:
            self._alarm.cancel()
        await self._flight.left(self)

    def wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        if not self._late:
            await self._woken()
        if self._late:
            raise DeadlineExceeded("The time limit of this request is used up.")

    async def _woken(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _expire(self) -> None:
        self._late = True
        self.wake()


_GIVEN_UP = UpstreamUnreachable("The call that this request had joined was given up.")
