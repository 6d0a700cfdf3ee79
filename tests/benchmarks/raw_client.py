"""A client that costs as little as possible: one asyncio protocol, httptools' parser, keep-alive, nothing decoded."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from time import perf_counter
from typing import Any, cast

import httptools

# The first content that is not empty: a role or an empty first delta is no token.
_CONTENT = re.compile(rb'"(?:content|text)": ?"[^"]')


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer. `first`, `last` (byte of the body) and `total` in seconds since the request was written; `chunks`
    counts `data:` lines."""

    status: int
    first: float
    last: float
    total: float
    chunks: int
    complete: bool
    hit: bool


class Connection(asyncio.Protocol):
    """One keep-alive connection; one request at a time."""

    def __init__(self) -> None:
        self._done: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, host: str, port: int) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    async def ask(self, request: bytes, *, streamed: bool) -> Sample:
        """Send the request as it is and take the time. ConnectionError when the connection dies before the end."""
        assert self._transport is not None
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._first: float | None = None
        self._last = perf_counter()
        self._cache_status = b""
        self._done = asyncio.get_running_loop().create_future()
        started = perf_counter()
        self._transport.write(request)
        await self._done
        body = b"".join(self._parts)
        return Sample(
            status=self._parser.get_status_code(),
            first=(self._first or self._ended) - started,
            last=self._last - started,
            total=self._ended - started,
            chunks=body.count(b"data: {"),
            complete=body.endswith(b"data: [DONE]\n\n") if streamed else body.endswith(b"}"),
            hit=b"hit" in self._cache_status,
        )

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(exc or ConnectionResetError("closed before the end of the response"))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"cache-status":
            self._cache_status = value

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)
        self._last = perf_counter()
        if self._first is None and _CONTENT.search(body if len(self._parts) == 1 else b"".join(self._parts)):
            self._first = perf_counter()

    def on_message_complete(self) -> None:
        self._ended = perf_counter()
        if self._done is not None and not self._done.done():
            self._done.set_result(None)


def request(port: int, path: str, key: str, body: dict[str, Any]) -> bytes:
    """A POST as bytes."""
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data
