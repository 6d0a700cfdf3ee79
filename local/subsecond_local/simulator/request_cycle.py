"""One request to a plain ASGI app, and its response."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from subsecond_local.simulator.names import refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from subsecond_local.run.browser_guard import Message, Receive, Send

JSON = (b"content-type", b"application/json")


class RequestCycle:
    """One request and its response."""

    def __init__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        self.path: str = scope["path"]
        self.method: str = scope["method"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.client: tuple[str, int] | None = scope["client"]
        self._receive = receive
        self._send = send
        self._gone: asyncio.Future[Message] | None = None

    async def body(self) -> Any:
        """The JSON body; UpstreamError 400 when it is none, ConnectionError when the client hung up before its end."""
        try:
            return json.loads(await self.data())
        except (ValueError, RecursionError) as error:
            raise refusal(f"The body is not JSON: {error}", code="invalid_json") from error

    async def data(self) -> bytes:
        """The body. ConnectionError when the client hung up before its end."""
        parts = []
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ConnectionAbortedError
            parts.append(message["body"])
            more = message["more_body"]
        return b"".join(parts)

    def watch(self) -> None:
        """From now on the current task is cancelled when the client hangs up."""
        task = asyncio.current_task()
        assert task is not None
        self._gone = asyncio.ensure_future(self._receive())
        self._gone.add_done_callback(lambda found: None if found.cancelled() else task.cancel())

    @property
    def gone(self) -> bool:
        return self._gone is not None and self._gone.done() and not self._gone.cancelled()

    def unwatch(self) -> None:
        """To be called before the response ends, because its end counts as a disconnect too."""
        if self._gone is not None and not self._gone.done():
            self._gone.cancel()

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        self.unwatch()
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def reply(self, data: bytes, status: int = 200, retry_after: str | None = None) -> None:
        headers = [JSON, (b"content-length", b"%d" % len(data))]
        if retry_after is not None:
            headers.append((b"retry-after", retry_after.encode()))
        await self.start(status, headers)
        await self.end(data)
