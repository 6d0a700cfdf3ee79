"""One request through an ASGI app: what it sends, handed on part by part."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from time import monotonic
from typing import Any

from .asgi_types import App, Message

log = logging.getLogger(__name__)

# Headers that describe one connection (RFC 9110, section 7.6.1); the next one is AWS's.
HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade"})


@dataclass(frozen=True, slots=True)
class ResponseStart:
    status: int
    headers: dict[str, str]
    cookies: list[str]


class TimeLimitError(TimeoutError):
    """The function's time is used up."""

    def __init__(self) -> None:
        super().__init__("the function's time limit came before the answer was complete")


class BrokenAppError(RuntimeError):
    """The app returned in the middle of its response."""


class AsgiCycle:
    """`begin` waits for the first part of the body; `parts` gives it and the rest; `end` waits for the app's return.

    The app waits in `send` until its part is taken: memory holds one part, and a slow reader slows the app. It runs on
    after its last part (to store, to record), for which no client waits. At `deadline` (monotonic seconds) it is
    cancelled; `grace` seconds later it is left behind.
    """

    def __init__(self, app: App, scope: dict[str, Any], body: bytes, deadline: float, grace: float) -> None:
        self._app = app
        self._scope = scope
        self._body: bytes | None = body
        self._deadline = deadline
        self._grace = grace
        self._start: Message | None = None
        self._part: bytes | None = None
        self._complete = False
        self._timed_out = False
        self._waiting: asyncio.Future[None] | None = None
        self._taken: asyncio.Future[None] | None = None

    async def begin(self) -> ResponseStart:
        """Status, headers and cookies. An app that fails before its first part of the body has a proper status here."""
        loop = asyncio.get_running_loop()
        self._task = asyncio.ensure_future(self._app(self._scope, self._receive, self._send))
        self._task.add_done_callback(lambda _: self._wake())
        self._alarm = loop.call_later(max(0.0, self._deadline - monotonic()), self._expire)
        if await self._next_part() and self._start is not None:
            return _response_start(self._start)
        error = self._failure() or BrokenAppError("the app returned without a response")
        log.error("The app failed before its response", exc_info=error)
        status, self._part = 504 if isinstance(error, TimeLimitError) else 500, _error_object(error)
        self._start, self._complete = None, True
        return ResponseStart(status, {"content-type": "application/json", "content-length": str(len(self._part))}, [])

    async def parts(self) -> AsyncGenerator[bytes]:
        """The body, to its last part. An incomplete one ends with an event for the client, where it is a stream of
        events, and raises."""
        try:
            while not self._over() and await self._next_part():
                if part := self._take():
                    yield part
            if event := self._last_event():
                yield event
            self._check_complete()
        except BaseException:
            await self._close()
            raise

    async def end(self) -> None:
        """Until the app has returned. To be awaited once, after `parts`."""
        try:
            while not self._task.done() and not self._timed_out:
                await self._woken()
            error = self._failure()
            if error is not None and self._start is not None and self._complete:
                log.error("The app failed after its response", exc_info=error)
        finally:
            await self._close()

    def _check_complete(self) -> None:
        if not self._complete:
            raise self._failure() or BrokenAppError("the app returned without completing its response")

    async def _receive(self) -> Message:
        if self._body is None:
            # Nobody tells a function that its client has gone.
            await asyncio.get_running_loop().create_future()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body" and not self._complete:
            if self._timed_out:
                raise OSError("the response is over")
            self._complete = not message.get("more_body", False)
            self._part = b"" if self._scope["method"] == "HEAD" else bytes(message.get("body", b""))
            self._taken = asyncio.get_running_loop().create_future()
            self._wake()
            await self._taken

    async def _next_part(self) -> bool:
        """Wait for the app's next part; False when there will be none."""
        while self._part is None and not self._task.done() and not self._timed_out:
            await self._woken()
        return self._part is not None

    def _over(self) -> bool:
        """Whether the last part has been taken."""
        return self._complete and self._part is None

    async def _woken(self) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting

    def _take(self) -> bytes | None:
        part, self._part = self._part, None
        if self._taken is not None and not self._taken.done():
            self._taken.set_result(None)
        return part

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _expire(self) -> None:
        if not self._task.done():
            self._timed_out = True
            self._task.cancel()
            self._wake()

    def _failure(self) -> BaseException | None:
        if self._timed_out:
            return TimeLimitError()
        if not self._task.done():
            return None
        return asyncio.CancelledError("the app was cancelled") if self._task.cancelled() else self._task.exception()

    def _last_event(self) -> bytes | None:
        """What a client that reads events is told of an answer that breaks off."""
        if self._complete or self._start is None:
            return None
        events = _response_start(self._start).headers.get("content-type", "").startswith("text/event-stream")
        return b"data: " + _error_object(self._failure()) + b"\n\n" if events else None

    async def _close(self) -> None:
        self._alarm.cancel()
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait((self._task,), timeout=self._grace)
        if self._task.done() and not self._task.cancelled():
            # Taken, so that the loop does not report it as forgotten.
            self._task.exception()


def _response_start(start: Message) -> ResponseStart:
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for raw_name, raw_value in start.get("headers", ()):
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name == "set-cookie":
            cookies.append(value)
        elif name not in HOP_BY_HOP:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return ResponseStart(start["status"], headers, cookies)


def _error_object(error: BaseException | None) -> bytes:
    """OpenAI's error shape. What the client reads says nothing of our insides; the log has the traceback."""
    late = isinstance(error, TimeLimitError)
    message, code = (str(error), "deadline_exceeded") if late else ("internal error", "internal_error")
    return json.dumps({"error": {"message": message, "type": "api_error", "param": None, "code": code}}).encode()
