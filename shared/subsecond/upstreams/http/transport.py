"""HTTP/1.1 to one server, straight on asyncio.

Why no client library: httpx2's pool, its state machine in Python (h11), anyio's streams and six generators between
socket and reader took 60 % of a call's CPU time (0.7 of 1.2 ms) and of a chunk's (85 of 140 us). Here a read goes
through one parser to whoever waits. Only what a model's server needs is there: a pool of kept connections, one request
at a time on each, and TLS. No proxy, no HTTP/2: `upstreams/openai_package.py` has them.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from pathlib import Path
from time import time
from typing import Self, cast
from urllib.parse import SplitResult

from subsecond.resending import count
from subsecond.upstreams.http.exchange import ConnectTimeout, Fields, SendFailed
from subsecond.upstreams.http.response_parser import Response

# Seconds that an unused connection is kept; many load balancers drop theirs after 60. By the wall clock, because the
# monotonic one need not go on in a frozen Lambda environment.
KEEP = 55.0
# Seconds that a body's end may lag behind the reader's last interest (`[DONE]`): closing would cost a handshake.
DRAIN = 1.0
# Bytes that may lie unread before the socket is left alone.
HIGH_WATER = 256 * 1024
# A model may think for ten minutes without a byte, and address translation forgets a connection that was silent for 350
# s (NAT gateways, network load balancers): the kernel speaks after 60, and gives a dead peer up after two minutes.
KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPALIVE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}


class Connection(asyncio.Protocol):
    """One socket, and the exchange that is on it."""

    def __init__(self, pool: Transport) -> None:
        loop = asyncio.get_running_loop()
        self.answer: Response | None = None
        self.lost = False
        self.closed = loop.create_future()
        self._loop = loop
        self._pool = pool
        self._since = 0.0  # unused since, on the wall clock
        self._unread = 0
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._drain: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        connection = transport.get_extra_info("socket")
        stay_alive(connection)
        self._poll = select.poll()
        self._poll.register(connection.fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        answer = self.answer
        if answer is None:
            self._transport.abort()  # nobody asked for these bytes
            return
        try:
            answer.feed(data)
        except ValueError:
            self._transport.abort()  # the answer stays incomplete
            return
        self._unread += len(data)
        if self._drain is not None:
            answer.body.clear()
            if answer.complete:
                self.release()
        elif self._unread > HIGH_WATER and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        if self.answer is not None:
            self.answer.end()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.lost = True
        if not self.closed.done():
            self.closed.set_result(None)
        self._pool.forget(self)
        if self._drain is not None:
            self.release()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, until: float | None = None) -> None:
        """Until more has come, or the connection is lost. TimeoutError at `until`, on the event loop's clock."""
        if self.lost:
            return
        self._waiter = self._loop.create_future()
        if until is not None:
            self._until = until
            if self._timer is None or self._timer.when() > until:
                self._arm()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _arm(self) -> None:
        # The limit moves on with each chunk but the timer stays: where it rings early it is set anew. A timer of its
        # own for each read cost 10 us of 65.
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._until, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() < self._until:
            self._arm()
        else:
            self._waiter.set_exception(TimeoutError())

    def send(self, data: bytes) -> Response:
        self.answer = Response()
        self._transport.write(data)
        return self.answer

    def taken(self) -> None:
        """Everything unread was read."""
        self._unread = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def drain(self) -> None:
        """Nobody reads on: let the body's end come, for a moment, then release."""
        self.taken()
        self._drain = self._loop.call_later(DRAIN, self.release)

    def release(self, *, slot: bool = True) -> None:
        """The exchange is over: the connection is kept where it can carry another one, and closed otherwise. slot:
        whether its place is free for whoever waits."""
        answer, self.answer = self.answer, None
        if answer is None:
            return
        for timer in (self._timer, self._drain):
            if timer is not None:
                timer.cancel()
        self._timer = self._drain = None
        self.taken()
        sound = not self.lost and not self._transport.is_closing() and not self._transport.get_write_buffer_size()
        if sound and answer.complete and answer.reusable:
            self.park()
        else:
            self._transport.abort()
        if slot:
            self._pool.slots.release()

    def park(self) -> None:
        self._since = time()
        self._pool.keep(self)

    def usable(self) -> bool:
        """Whether a kept connection is still good. An end that the loop has not read yet shows as readable."""
        if self._transport.is_closing() or time() - self._since > KEEP:
            return False
        return not self._poll.poll(0)

    def abort(self) -> None:
        self._transport.abort()


class Body:
    """One answer: its head, and its body: `take` what has come, `wait` for more. Two methods end it: `finish`, `close`.
    resent: whether the request went out twice."""

    def __init__(self, connection: Connection, answer: Response, *, resent: bool) -> None:
        self.status = answer.status
        self.headers: Fields = answer.headers
        self.resent = resent
        self._connection: Connection | None = connection
        self._answer = answer

    @property
    def complete(self) -> bool:
        """Nothing more will come. What has come may not have been taken yet."""
        return self._answer.complete

    def take(self) -> bytes:
        """What has come since, b"" where nothing has. ConnectionError when it broke off."""
        pieces = self._answer.body
        connection = self._connection
        if not pieces:
            if not self._answer.complete and (connection is None or connection.lost):
                raise ConnectionError("the answer broke off")
            return b""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if connection is not None:
            connection.taken()
        return data

    async def wait(self, until: float | None = None) -> None:
        """Until there is more to take, or the end. TimeoutError at `until`, on the event loop's clock."""
        if self._connection is not None and not self._answer.complete:
            await self._connection.wait(until)

    def finish(self) -> None:
        """The reader has all it wants. The connection is kept if the rest of the body comes soon."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._answer.complete or connection.lost:
            connection.release()
        else:
            connection.drain()

    def close(self) -> None:
        """Closes the connection at once unless the answer is complete."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()


class Transport:
    """To one server, over up to `connections` at a time; who comes when all are busy waits. tls: None for plain HTTP.

    Times are on the event loop's clock; `connect` in seconds, for one connection.
    """

    def __init__(self, host: str, port: int, connections: int, connect: float, tls: ssl.SSLContext | None) -> None:
        self.slots = asyncio.Semaphore(connections)
        self._address = host, port
        self._connect_timeout = connect
        self._tls = tls
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()

    @classmethod
    def to(cls, url: SplitResult, connections: int, connect: float) -> Self:
        """To an http or https address; the latter reads the system's trust: for a thread."""
        tls = trust() if url.scheme == "https" else None
        return cls(url.hostname or "", url.port or (443 if tls else 80), connections, connect, tls)

    async def send(self, data: bytes, until: float | None = None) -> Body:
        """The answer, its head read. TimeoutError at `until`, SendFailed before a head came."""
        connection, fresh = await self._lease(until)
        answer = await _exchange(connection, data, until)
        # A server may close a kept connection in the very moment of its use. Without a byte of an answer that is taken
        # to say nothing about the request, which goes out again, as browsers do (RFC 9110, section 9.2.2). Once only,
        # and on a new connection: the other kept ones may be as dead, and each may have carried the request all the
        # same. The place is held meanwhile, so that there are never more connections than places.
        resent = not answer.status and not answer.begun and not fresh
        if resent:
            connection.release(slot=False)
            count()
            connection = await self._new(until, sent=2)
            answer = await _exchange(connection, data, until)
        if not answer.status:
            connection.release()
            raise SendFailed("it closed the connection without an answer", sent=1 + resent)
        return Body(connection, answer, resent=resent)

    async def open(self) -> None:
        """A connection kept for a call to come, unless there is one. SendFailed where there is none to be had."""
        if kept := self._reuse():
            self.keep(kept)
        else:
            (await self._connect(None)).park()

    async def _lease(self, until: float | None) -> tuple[Connection, bool]:
        """A connection, and whether it is new."""
        if self.slots.locked():
            async with asyncio.timeout_at(until):
                await self.slots.acquire()
        else:
            await self.slots.acquire()
        if kept := self._reuse():
            return kept, False
        return await self._new(until), True

    async def _new(self, until: float | None, *, sent: int = 1) -> Connection:
        """For a place that is taken; it is free again where there is no connection."""
        try:
            return await self._connect(until)
        except SendFailed as error:
            error.sent = sent
            self.slots.release()
            raise
        except BaseException:
            self.slots.release()
            raise

    def _reuse(self) -> Connection | None:
        """The connection used last, which is the likeliest to live."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable():
                return connection
            connection.abort()
        return None

    async def _connect(self, until: float | None) -> Connection:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._connect_timeout
        first = due if until is None else min(due, until)
        try:
            async with asyncio.timeout_at(first):
                _, connection = await loop.create_connection(lambda: Connection(self), *self._address, ssl=self._tls)
        except TimeoutError as error:
            if until is not None and until <= due:
                raise
            raise ConnectTimeout(f"it took no connection within {self._connect_timeout:g} s") from error
        except OSError as error:
            raise SendFailed(str(error)) from error
        self._open.add(connection)
        return connection

    def keep(self, connection: Connection) -> None:
        self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    async def aclose(self) -> None:
        """Closes all connections, the busy ones too, and returns when their sockets are closed."""
        connections = list(self._open)
        for connection in connections:
            connection.abort()
        await asyncio.gather(*(connection.closed for connection in connections))


async def _exchange(connection: Connection, data: bytes, until: float | None) -> Response:
    """Send, and wait for the answer's head: its `status` is 0 where the connection was lost before."""
    answer = connection.send(data)
    try:
        while not answer.status and not connection.lost:
            await connection.wait(until)
    except BaseException:
        connection.release()
        raise
    return answer


def stay_alive(connection: socket.socket) -> None:
    """See KEEPALIVE. A system lacks some of the options; macOS calls the first one otherwise."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def trust() -> ssl.SSLContext:
    """The system's trust. 20 ms of CPU and a file: for a thread."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile or (paths.capath and any(Path(paths.capath).glob("*.0"))):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_default_certs()
    else:
        # Pythons that know no certificates (python.org's on a Mac): the package that comes with httpx2 knows where the
        # system keeps them. Too heavy to be the first choice.
        from httpcore2 import default_ssl_context  # see above

        context = default_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
