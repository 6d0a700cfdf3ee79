"""A streaming Lambda handler for an ASGI app behind a Function URL.

    handler = StreamingHandler(build_app)

The app lives on one event loop, from its making until the environment ends, so that its connections survive from one
request to the next. There is no second thread: the loop runs while a request is served and stands still in between, as
it would in a frozen environment anyway.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from time import monotonic
from typing import Any, Protocol

from .asgi_cycle import AsgiCycle
from .asgi_types import App
from .http_stream import HttpStream
from .scope import http_body, http_scope, is_http

log = logging.getLogger(__name__)

Hook = Callable[[], Awaitable[None] | None]
EventHandler = Callable[[Any, Any], Any]


class Context(Protocol):
    """What is used of Lambda's context object."""

    def get_remaining_time_in_millis(self) -> int: ...


class StreamingHandler:
    """`handler(event, context)` for the events of Function URLs and of API Gateway; needs the streaming runtime client.

    factory: makes the app, inside the loop, and does what the app needs before its first request: what fails here is a
    failed initialisation. ASGI's lifespan is not run, as nobody tells a function when it ends.
    at_end: called when the app has returned (not when the handler returns), each alone: flush metrics and logs here.
    on_event: serves every event that is no HTTP request, such as a schedule's; plain or async.
    margin: seconds kept at the end of the function's time. The app is told, as `scope["aws.deadline"]` (monotonic
    seconds), to be done two margins before it; at one margin it is cancelled: status 504, or an error event.
    `scope["aws.event"]` and `scope["aws.context"]` are Lambda's own.
    """

    def __init__(
        self,
        factory: Callable[[], App],
        *,
        at_end: Sequence[Hook] = (),
        on_event: EventHandler | None = None,
        margin: float = 0.25,
    ) -> None:
        self.loop = asyncio.new_event_loop()
        self._at_end = tuple(at_end)
        self._on_event = on_event
        self._margin = margin
        with ExitStack() as undo:
            undo.callback(self.loop.close)
            self._app = self.loop.run_until_complete(_made(factory))
            undo.pop_all()

    def __call__(self, event: Any, context: Context) -> Any:
        if is_http(event):
            return self.loop.run_until_complete(self._serve(event, context))
        if self._on_event is None:
            raise ValueError("this function serves HTTP requests only")
        return self.loop.run_until_complete(_result(self._on_event(event, context)))

    def close(self) -> None:
        """Close the loop. Lambda never calls this: it ends the process."""
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    async def _serve(self, event: Mapping[str, Any], context: Context) -> HttpStream:
        end = monotonic() + context.get_remaining_time_in_millis() / 1000
        scope = http_scope(event)
        scope["aws.event"], scope["aws.context"] = event, context
        scope["aws.deadline"] = end - 2 * self._margin
        cycle = AsgiCycle(self._app, scope, http_body(event), end - self._margin, self._margin / 2)
        head = await cycle.begin()
        after = partial(self._after, cycle, end)
        return HttpStream(head.status, head.headers, head.cookies, cycle.parts(), self.loop, after)

    async def _after(self, cycle: AsgiCycle, end: float) -> None:
        await cycle.end()
        for hook in self._at_end:
            await _run(hook, end - self._margin / 4 - monotonic())


async def _made(factory: Callable[[], App]) -> App:
    return factory()


async def _result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def _run(hook: Hook, seconds: float) -> None:
    """A hook that fails or hangs costs the response nothing."""

    async def call() -> None:
        await _result(hook())

    task = asyncio.ensure_future(call())
    await asyncio.wait((task,), timeout=seconds)
    if not task.done():
        task.cancel()
        log.error("A hook at the end of the response did not end within the function's time")
    elif not task.cancelled() and task.exception() is not None:
        log.error("A hook at the end of the response failed", exc_info=task.exception())
