"""The host: functions, their environments, and the one listener in front of them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self

from subsecond_local.lambda_host.environment import Output
from subsecond_local.lambda_host.front import Front
from subsecond_local.lambda_host.function import Function, UrlRoute
from subsecond_local.lambda_host.pool import Pool, Result
from subsecond_local.lambda_host.wire import Listener

log = logging.getLogger("subsecond.lambda")


class LambdaHost:
    """`async with LambdaHost(functions, routes) as host:` serves `host.url`, on loopback only.

    It must run in the main thread: Linux ties a child's life to the thread that started it.
    routes: the first that leads serves; ValueError when one leads to no function.
    port: 0 takes a free one. output: where the functions print; None is where the host does.
    access_keys: whose signature the Invoke API takes; none: anybody's on this machine.
    """

    def __init__(
        self,
        functions: Sequence[Function],
        routes: Sequence[UrlRoute],
        *,
        port: int = 0,
        output: Output = None,
        access_keys: Collection[str] = (),
    ) -> None:
        self._pools = {function.name: Pool(function, output) for function in functions}
        if unknown := {route.function for route in routes} - self._pools.keys():
            raise ValueError(f"routes lead to functions that are not there: {sorted(unknown)}")
        self._listener = Listener(Front(self._pools, routes, self._spawn, access_keys).connection)
        self._port = port
        self._tasks: set[asyncio.Task[object]] = set()

    @property
    def url(self) -> str:
        return f"http://{self._listener.address}"

    async def start(self) -> None:
        """Listen, and start every function's minimum of environments. OSError when the port is taken."""
        await self._listener.open(self._port)
        await asyncio.gather(*(pool.warm() for pool in self._pools.values()))

    async def stop(self) -> None:
        """Kill what runs, cut what streams, stop listening."""
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._listener.close()

    async def broken(self) -> str:
        """The name of a function that cannot start; it stays here until there is one."""
        waits = {asyncio.ensure_future(pool.broken.wait()): name for name, pool in self._pools.items()}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return waits[done.pop()]

    async def invoke(self, name: str, payload: Any) -> Result:
        """One event for a function, as a schedule or a table's stream sends it. KeyError when there is none such;
        ThrottledError when no environment comes free in time.
        """
        return await self._pools[name].call(json.dumps(payload).encode())

    def environments(self, name: str) -> int:
        """How many environments a function has, starting ones included."""
        return self._pools[name].environments

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.stop()

    def _spawn(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("A request failed in the host", exc_info=task.exception())
