"""A function's environments: cold starts, one request each, a queue, and the reaping of idle ones."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from dataclasses import dataclass

from subsecond_local.lambda_host.environment import Environment, Output, State
from subsecond_local.lambda_host.function import Function
from subsecond_local.lambda_host.invocation import Collected, FunctionError, Invocation, ThrottledError

# Seconds. A client often asks again while its last environment still stores and records; a cold start costs ten times
# as much as waiting for it.
PATIENCE = 0.03
# Starts after which a function that has never come up is given up.
PERSISTENT = 3


class InitError(Exception):
    """The environment that was started for a request did not come up."""

    def __init__(self, error: FunctionError) -> None:
        super().__init__("the function failed to start")
        self.error = error


@dataclass(frozen=True, slots=True)
class Result:
    """What the function returned, or Lambda's error object: JSON."""

    payload: bytes
    failed: bool


class Pool:
    """`invoke` serves one event. Requests are served in their order."""

    def __init__(self, function: Function, output: Output) -> None:
        self.function = function
        self._output = output
        self._numbers = itertools.count(1)
        self._all: set[Environment] = set()
        # The last one used is used first, so that the others can go.
        self._idle: list[Environment] = []
        self._waiting: deque[asyncio.Future[Environment]] = deque()
        self._reapers: dict[Environment, asyncio.TimerHandle] = {}
        self._lives: set[asyncio.Task[None]] = set()
        self._warming: list[asyncio.Future[None]] = []
        self._open = True
        self._failed = 0
        self._came_up = False
        # Set when PERSISTENT starts of the minimum have failed, and none has come up.
        self.broken = asyncio.Event()

    @property
    def environments(self) -> int:
        """How many there are, starting ones included."""
        return len(self._all)

    async def warm(self) -> None:
        """Start the minimum, and wait until they are ready or have failed."""
        self._warming = [asyncio.get_running_loop().create_future() for _ in range(self.function.minimum)]
        for _ in self._warming:
            self._launch()
        await asyncio.gather(*self._warming)

    async def close(self) -> None:
        self._open = False
        for timer in self._reapers.values():
            timer.cancel()
        for waiter in self._waiting:
            waiter.cancel()
        for environment in self._all:
            environment.stop()
        await asyncio.gather(*self._lives)

    async def invoke(self, invocation: Invocation) -> FunctionError | None:
        """Run it; what the function did wrong, if something. ThrottledError when no environment comes free in time,
        AbandonedError when its client is gone before."""
        try:
            environment = await self._acquire(invocation)
        except InitError as failed:
            return failed.error
        return await environment.run(invocation)

    async def call(self, payload: bytes) -> Result:
        """One invocation whose result is wanted whole."""
        collected = Collected()
        error = await self.invoke(Invocation(payload, collected))
        return Result(collected.payload, failed=False) if error is None else Result(error.payload, failed=True)

    async def _acquire(self, invocation: Invocation) -> Environment:
        if self._idle:
            return self._reserve(self._idle.pop())
        if not self.function.queue and len(self._all) >= self.function.maximum:
            raise ThrottledError
        waiter: asyncio.Future[Environment] = asyncio.get_running_loop().create_future()
        invocation.place = waiter
        self._waiting.append(waiter)
        if self._all:
            asyncio.get_running_loop().call_later(PATIENCE, self._provision)
        else:
            self._provision()
        try:
            return await asyncio.wait_for(waiter, self.function.timeout)
        except TimeoutError:
            raise ThrottledError from None

    def _reserve(self, environment: Environment) -> Environment:
        environment.state = State.BUSY
        if timer := self._reapers.pop(environment, None):
            timer.cancel()
        return environment

    def _next_waiter(self) -> asyncio.Future[Environment] | None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                return waiter
        return None

    def _provision(self) -> None:
        """A cold start for every request that waits and that no environment on its way will serve."""
        wanted = sum(not waiter.done() for waiter in self._waiting)
        coming = sum(one.state is State.STARTING for one in self._all)
        room = self.function.maximum - len(self._all) if self._open else 0
        for _ in range(min(wanted - coming, room)):
            self._launch()

    def _launch(self) -> None:
        environment = Environment(self.function, next(self._numbers), self._output, self)
        self._all.add(environment)
        life = asyncio.ensure_future(environment.start())
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)

    # The environments' side

    def ready(self, environment: Environment) -> None:
        self._came_up = True
        self._warmed()
        if waiter := self._next_waiter():
            waiter.set_result(self._reserve(environment))
            return
        self._idle.append(environment)
        environment.freeze()
        loop = asyncio.get_running_loop()
        self._reapers[environment] = loop.call_later(self.function.idle, self._reap, environment)

    def gone(self, environment: Environment, error: FunctionError | None) -> None:
        self._all.discard(environment)
        if environment in self._idle:
            self._idle.remove(environment)
        if timer := self._reapers.pop(environment, None):
            timer.cancel()
        if error is not None:
            self._failed_to_start()
            self._warmed()
            if waiter := self._next_waiter():
                waiter.set_exception(InitError(error))
        self._provision()
        # One that fails to start is not started again before a request needs it: it would loop.
        if self._open and error is None and len(self._all) < self.function.minimum:
            self._launch()

    def _reap(self, environment: Environment) -> None:
        if environment in self._idle and len(self._all) > self.function.minimum:
            self._idle.remove(environment)
            # Not counted from here on, although its process takes a moment to go.
            self._all.discard(environment)
            environment.stop()

    def _failed_to_start(self) -> None:
        self._failed += 1
        if self._failed >= PERSISTENT and self.function.minimum and not self._came_up:
            self.broken.set()

    def _warmed(self) -> None:
        if self._warming and not self._warming[-1].done():
            self._warming.pop().set_result(None)
