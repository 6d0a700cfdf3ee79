"""A buffered Lambda handler for an ASGI app behind a Function URL: Mangum, on one loop for the environment's life.

    handler = BufferedHandler(app)

Mangum 0.22 serves each request on its thread's current loop; this one keeps it, and with it the app's connections. It
runs no lifespan: Mangum would start and stop the app around each request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from time import monotonic
from typing import Any

from mangum import Mangum

from .asgi_types import App, Receive, Send
from .scope import is_http

# Seconds kept for the error's way back, and for the records.
MARGIN = 0.5


class BufferedHandler:
    """`handler(event, context)`. `at_end`: called when a response has been made, or has failed. `on_event` serves every
    event that is no HTTP request, such as a schedule's."""

    def __init__(
        self,
        app: App,
        *,
        at_end: Sequence[Callable[[], None]] = (),
        on_event: Callable[[Any, Any], Awaitable[Any]] | None = None,
    ) -> None:
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self._respond = Mangum(_WithDeadline(app), lifespan="off")
        self._at_end = tuple(at_end)
        self._on_event = on_event

    def __call__(self, event: Any, context: Any) -> Any:
        if self._on_event is not None and not is_http(event):
            return self.loop.run_until_complete(_result(self._on_event(event, context)))
        try:
            return self._respond(event, context)
        finally:
            for hook in self._at_end:
                hook()

    def close(self) -> None:
        """The end of the environment: for tests, Lambda just stops."""
        asyncio.set_event_loop(None)
        self.loop.close()


async def _result(work: Awaitable[Any]) -> Any:
    return await work


class _WithDeadline:
    """Tells the app its `scope["aws.deadline"]` (monotonic seconds), as the streaming handler does. Without it, a
    function that runs into its limit leaves the client with AWS's bare 502."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        remaining: float = scope["aws.context"].get_remaining_time_in_millis() / 1000
        scope["aws.deadline"] = monotonic() + remaining - MARGIN
        await self._app(scope, receive, send)
