"""An ASGI app that hands its requests to a server behind a Unix socket, which no web page can reach.

For the model's server, which is llama.cpp's own: it looks neither at `Origin` nor at `Host`, so it listens where only
this user can connect, and what may pass is decided in front of this app.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

from subsecond_local.run.browser_guard import Message, Receive, Send

# Of one connection, not of the message (RFC 9110, 7.6.1), or named anew for the other one.
OWN = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te", b"trailer"})
RENAMED = OWN | {b"host", b"content-length"}


class Relay:
    """Each request with its whole body, each answer as it comes. A client that hangs up ends its request there too."""

    def __init__(self, socket: Path, refuse: Callable[[str, bytes], tuple[int, bytes] | None] | None = None) -> None:
        """refuse: of a path and a body, the status and the JSON of an answer that comes from here."""
        self._refuse = refuse
        # Without limits: how long an answer may take, the gateway decides, and it hangs up.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=16, keepalive_expiry=4.0)
        self._client = httpx2.AsyncClient(
            transport=httpx2.AsyncHTTPTransport(uds=str(socket), limits=limits), base_url="http://model", timeout=None
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        content, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            content, more = content + message["body"], message["more_body"]
        refused = self._refuse(scope["path"], content) if self._refuse else None
        if refused is not None:
            head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(refused[1]))]
            await send({"type": "http.response.start", "status": refused[0], "headers": head})
            await send({"type": "http.response.body", "body": refused[1]})
            return
        answering = asyncio.create_task(self._answer(scope, content, send))
        leaving = asyncio.ensure_future(receive())
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if answering.done():
            # An error closes the connection, as the one behind it was.
            answering.result()
        answering.cancel()
        await asyncio.gather(answering, leaving, return_exceptions=True)

    async def _answer(self, scope: Message, content: bytes, send: Send) -> None:
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        headers = [pair for pair in scope["headers"] if pair[0].lower() not in RENAMED]
        asked = self._client.stream(scope["method"], target.decode("ascii"), headers=headers, content=content)
        async with asked as answer:
            kept = [pair for pair in answer.headers.raw if pair[0].lower() not in OWN]
            await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
            async for piece in answer.aiter_raw():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
