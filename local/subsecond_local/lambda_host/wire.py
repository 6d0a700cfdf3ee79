"""HTTP/1.1 on asyncio and httptools: just what the front and the Runtime API need."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol, cast
from urllib.parse import urlsplit

import httptools

from subsecond_local.run import browser_guard

Headers = list[tuple[str, str]]

NO_BODY = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Request:
    """A request's head. Header names in lower case; `target`: path and query."""

    method: str
    target: str
    version: str
    headers: Headers = field(repr=False)  # the client's key is among them
    keep_alive: bool
    peer: str

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


class OnDone(Protocol):
    """Called once, when the client has all that it will get."""

    def __call__(self, *, keep_alive: bool) -> None: ...


class HttpConnection(asyncio.Protocol, ABC):
    """One connection. Subclasses implement `begun`, `received`, `ended` and, if they care, `lost` and `writable`."""

    transport: asyncio.Transport
    listener: Listener

    @abstractmethod
    def begun(self, request: Request) -> None:
        """The head is there."""

    @abstractmethod
    def received(self, data: bytes) -> None:
        """A piece of the body is there."""

    @abstractmethod
    def ended(self, trailers: Headers) -> None:
        """The request is complete."""

    def lost(self) -> None:
        """The other side is gone."""

    def writable(self, *, yes: bool) -> None:
        """The write buffer is full, or has room again."""

    def respond(self, status: int, body: bytes = b"", headers: Headers | None = None) -> None:
        """A whole response; the connection stays open."""
        head = [("Content-Length", str(len(body))), *(headers or [])]
        self.transport.write(head_bytes(status, head) + body)

    def page_refusal(self, request: Request) -> str | None:
        """Why the request is none of a program of this machine, if it is none."""
        return browser_guard.refusal(request.method, request.headers, self._port)

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peer = (transport.get_extra_info("peername") or ("",))[0]
        self._port = transport.get_extra_info("sockname")[1]
        self._parser = httptools.HttpRequestParser(self)
        self.listener.joined(self)

    def data_received(self, data: bytes) -> None:
        try:
            while rest := self._fed(data):
                data = rest
        except httptools.HttpParserError:
            self.respond(HTTPStatus.BAD_REQUEST, b"", [("Connection", "close")])
            self.transport.close()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.listener.left(self)
        self.lost()

    def pause_writing(self) -> None:
        self.writable(yes=False)

    def resume_writing(self) -> None:
        self.writable(yes=True)

    def _fed(self, data: bytes) -> bytes:
        """What has to be read again, by another parser, because the request offers an upgrade."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            sent = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self._headers]
            head = head_without_upgrade(self._parser, self._target, sent)
            self._parser = httptools.HttpRequestParser(self)
            return head + data[offer.args[0] :]
        return b""

    # httptools' side

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers: Headers = []
        self._trailers: Headers = []
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        where = self._headers if self._in_head else self._trailers
        where.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        if self._parser.should_upgrade():
            return
        self._in_head = False
        target, headers = origin_form(self._target.decode("latin-1"), self._headers)
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            target=target,
            version=self._parser.get_http_version(),
            headers=headers,
            keep_alive=self._parser.should_keep_alive(),
            peer=self._peer,
        )
        self.begun(request)

    def on_body(self, body: bytes) -> None:
        self.received(body)

    def on_message_complete(self) -> None:
        if not self._parser.should_upgrade():
            self.ended(self._trailers)


class Listener:
    """A listening socket on loopback, and its connections."""

    def __init__(self, make: Callable[[], HttpConnection]) -> None:
        self._make = make
        self._server: asyncio.Server | None = None
        self._connections: set[HttpConnection] = set()
        self._empty = asyncio.Event()

    @property
    def address(self) -> str:
        assert self._server is not None
        return "{}:{}".format(*self._server.sockets[0].getsockname())

    async def open(self, port: int = 0) -> None:
        """Port 0 takes a free one. OSError when the port is taken."""
        self._server = await asyncio.get_running_loop().create_server(self._connection, "127.0.0.1", port)

    async def drained(self, seconds: float) -> None:
        """Wait until the other sides have gone and what they had sent has been read, but no longer than this."""
        if self._connections:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), seconds)

    def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.transport.abort()

    def joined(self, connection: HttpConnection) -> None:
        self._connections.add(connection)
        self._empty.clear()

    def left(self, connection: HttpConnection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def _connection(self) -> HttpConnection:
        connection = self._make()
        connection.listener = self
        return connection


class Responder:
    """The response to one request, whole or streamed. To a client that is gone it is written in vain, silently."""

    def __init__(self, connection: HttpConnection, request: Request, request_id: str, on_done: OnDone) -> None:
        self.request_id = request_id
        self.started = False
        self.done = False
        self._connection = connection
        self._request = request
        self._on_done = on_done
        self._left: int | None = None
        self._chunked = False
        self._bodiless = request.method == "HEAD"

    def send(self, status: int, headers: Headers, body: bytes) -> None:
        self.start(status, [*headers, ("Content-Length", str(len(body)))])
        self.write(body)
        self.finish()

    def start(self, status: int, headers: Headers) -> None:
        """Status and headers. A body without a Content-Length among them is chunked."""
        self.started = True
        self._bodiless = self._bodiless or status in NO_BODY
        length = next((value for name, value in headers if name.lower() == "content-length"), None)
        own = [("Date", formatdate(usegmt=True)), ("x-amzn-RequestId", self.request_id)]
        if length is not None and length.isdigit():
            self._left = int(length)
        elif not self._bodiless and self._request.version != "1.0":
            self._chunked = True
            own.append(("Transfer-Encoding", "chunked"))
        if not self._keeps_alive():
            own.append(("Connection", "close"))
        self._out(head_bytes(status, [*headers, *own]))
        if self._left == 0:
            self._end(keep_alive=self._keeps_alive())

    def write(self, data: bytes) -> None:
        """A piece of the body, passed on at once."""
        if self.done or self._bodiless or not data:
            return
        if self._left is None:
            self._out(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
            return
        self._out(data[: self._left])
        self._left -= min(self._left, len(data))
        if not self._left:
            # The client has it all and may go on, while the function still stores and records.
            self._end(keep_alive=self._keeps_alive())

    def finish(self) -> None:
        """The body is complete. One shorter than its Content-Length can only be cut."""
        if self.done:
            return
        if self._chunked:
            self._out(b"0\r\n\r\n")
        self._end(keep_alive=self._keeps_alive() and (self._bodiless or not self._left))

    def cut(self) -> None:
        """Close without an ending, so that the client sees that something is missing."""
        if not self.done:
            self._end(keep_alive=False)

    def _keeps_alive(self) -> bool:
        return self._request.keep_alive and (self._chunked or self._bodiless or self._left is not None)

    def _end(self, *, keep_alive: bool) -> None:
        self.done = True
        self._on_done(keep_alive=keep_alive)

    def _out(self, data: bytes) -> None:
        if not self._connection.transport.is_closing():
            self._connection.transport.write(data)


def head_without_upgrade(
    parser: httptools.HttpRequestParser, target: bytes, headers: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """The head of a request that offers an upgrade, without the offer: it counts for nothing (RFC 9110, 7.8), but
    httptools takes the body for the new protocol's bytes. HttpParserError for CONNECT, which wants a tunnel."""
    if parser.get_method() == b"CONNECT":
        raise httptools.HttpParserError("a tunnel is asked for")
    lines = [b"%b %b HTTP/%b" % (parser.get_method(), target, parser.get_http_version().encode())]
    lines += [b"%b: %b" % pair for pair in headers if pair[0].lower() != b"upgrade"]
    return b"\r\n".join([*lines, b"\r\n"])


def origin_form(target: str, headers: Headers) -> tuple[str, Headers]:
    """Path and query of `http://host/path?query`, whose host counts and not the header's (RFC 9112, 3.2.2)."""
    parts = urlsplit(target) if target[:8].lower().startswith(("http://", "https://")) else None
    if parts is None:
        return target, headers
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return path, [pair for pair in headers if pair[0] != "host"] + [("host", parts.netloc)]


def head_bytes(status: int, headers: Headers) -> bytes:
    """A response's status line and headers. Line breaks inside a value are taken out: they would be a header more."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    lines = [f"{name}: {value}".replace("\r", " ").replace("\n", " ") for name, value in headers]
    return "\r\n".join([f"HTTP/1.1 {status} {phrase}", *lines, "\r\n"]).encode("latin-1", "replace")
