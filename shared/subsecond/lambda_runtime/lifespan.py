"""An ASGI app's startup and shutdown, once for the environment's life."""

from __future__ import annotations

import asyncio
from typing import Any

from .asgi_types import App, Message


class StartupFailedError(RuntimeError):
    """The app said that it cannot start; the message is its own."""


class Lifespan:
    """`start` and `stop` run on the loop that serves the requests."""

    def __init__(self, app: App) -> None:
        self.state: dict[str, Any] | None = None
        self._app = app
        self._wanted: asyncio.Queue[str] = asyncio.Queue()
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Run the startup. An app that leaves or raises at this scope does not speak the protocol, and is served
        without it; one that reports a failure is a StartupFailedError.
        """
        state: dict[str, Any] = {}
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
        self._task = asyncio.ensure_future(self._app(scope, self._receive, self._said.put))
        message = await self._ask("lifespan.startup")
        if message is None:
            return
        if message["type"] == "lifespan.startup.failed":
            await asyncio.wait((self._task,))
            raise StartupFailedError(message.get("message") or "the app did not start") from self._task.exception()
        self.state = state

    async def stop(self) -> None:
        """Run the shutdown, where the startup was run."""
        if self.state is not None:
            await self._ask("lifespan.shutdown")

    async def _receive(self) -> Message:
        return {"type": await self._wanted.get()}

    async def _ask(self, what: str) -> Message | None:
        assert self._task is not None
        self._wanted.put_nowait(what)
        answer = asyncio.ensure_future(self._said.get())
        await asyncio.wait((answer, self._task), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        answer.cancel()
        # The exception is taken, so that the loop does not report it as forgotten.
        self._task.cancelled() or self._task.exception()
        return None if self._said.empty() else self._said.get_nowait()
