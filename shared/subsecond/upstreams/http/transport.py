"""A transport for an httpx2 client, straight on asyncio.

Why not httpx2's own: its pool, its state machine in Python (h11), anyio's streams and six generators between socket and
reader took 60 % of a call's CPU time (0.7 of 1.2 ms) and of a chunk's (85 of 140 us). Here a read goes through one
parser to whoever waits. Only what a model's server needs is there: a pool of kept connections, one request at a time on
each, and TLS. No proxy, no HTTP/2. Of httpx2's time limits only `connect` is kept; for the others the caller cancels.
"""

from __future__ import annotations

import asyncio
import select
from time import time
from typing import TYPE_CHECKING, Any, cast

import httpx2

from subsecond.resending import count
from subsecond.upstreams.http.response_parser import Response

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

# Seconds that an unused connection is kept; many load balancers drop theirs after 60. By the wall clock, because the
# monotonic one need not go on in a frozen Lambda environment.
KEEP = 55.0
# Seconds that a body's end may lag behind the reader's last interest (`[DONE]`): closing would cost a handshake.
DRAIN = 1.0
# Bytes that may lie unread before the socket is left alone.
HIGH_WATER = 256 * 1024


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
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    def abort(self) -> None:
        self._transport.abort()


class Body(httpx2.AsyncByteStream):
    """The body of one answer: `take` what has come, `wait` for more. Both methods end it: `finish`, `close`."""

    def __init__(self, connection: Connection, answer: Response) -> None:
        self._connection: Connection | None = connection
        self._answer = answer

    @property
    def complete(self) -> bool:
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

    async def aclose(self) -> None:
        self.close()

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        try:
            while True:
                if data := self.take():
                    yield data
                elif self._answer.complete:
                    return
                else:
                    await self.wait()
        except ConnectionError as error:
            raise httpx2.ReadError(str(error)) from error
        finally:
            self.close()


class Transport(httpx2.AsyncBaseTransport):
    """To the server of `url`, over up to `connections` at a time; who comes when all are busy waits.

    tls: for `https`, where it is not the system's trust.
    """

    def __init__(self, url: httpx2.URL, connections: int, tls: ssl.SSLContext | None = None) -> None:
        self.slots = asyncio.Semaphore(connections)
        self._host = url.raw_host.decode("ascii")
        self._secure = url.scheme == "https"
        self._port = url.port or (443 if self._secure else 80)
        self._tls = tls
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        data = _serialise(request, await request.aread())
        seconds = request.extensions.get("timeout", {}).get("connect")
        connection, fresh = await self._lease(seconds)
        answer = await _exchange(connection, data)
        # A server may close a kept connection in the very moment of its use. Without a byte of an answer that is taken
        # to say nothing about the request, which goes out again, as browsers do (RFC 9110, section 9.2.2). Once only,
        # and on a new connection: the other kept ones may be as dead, and each may have carried the request all the
        # same. The place is held meanwhile, so that there are never more connections than places.
        if not answer.status and not answer.begun and not fresh:
            connection.release(slot=False)
            request.extensions["resent"] = True
            count()
            connection = await self._new(seconds)
            answer = await _exchange(connection, data)
        if not answer.status:
            connection.release()
            raise httpx2.RemoteProtocolError("the server closed the connection without an answer")
        body = Body(connection, answer)
        return httpx2.Response(answer.status, headers=answer.headers, stream=body, extensions={"body": body})

    async def open(self, seconds: float | None) -> None:
        """A connection kept for a call to come, unless there is one."""
        if kept := self._reuse():
            self.keep(kept)
        else:
            (await self._connect(seconds)).park()

    async def _lease(self, seconds: float | None) -> tuple[Connection, bool]:
        """A connection, and whether it is new."""
        await self.slots.acquire()
        if kept := self._reuse():
            return kept, False
        return await self._new(seconds), True

    async def _new(self, seconds: float | None) -> Connection:
        """For a place that is taken; it is free again where there is no connection."""
        try:
            return await self._connect(seconds)
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

    async def _connect(self, seconds: float | None) -> Connection:
        if self._secure and self._tls is None:
            self._tls = httpx2.create_ssl_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        tls = self._tls if self._secure else None
        connect = asyncio.get_running_loop().create_connection
        try:
            async with asyncio.timeout(seconds):
                _, connection = await connect(lambda: Connection(self), self._host, self._port, ssl=tls)
        except TimeoutError as error:
            raise httpx2.ConnectTimeout("no connection in time") from error
        except OSError as error:
            raise httpx2.ConnectError(str(error)) from error
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


class Client(httpx2.AsyncClient):
    """Sends, and nothing else: no cookies (they would pass from one tenant's call to another's), no redirects."""

    def __init__(self, transport: Transport) -> None:
        # Compressed events would arrive in blocks; whole replies are small beside the model's time.
        super().__init__(transport=transport, trust_env=False, headers={"accept-encoding": "identity"})
        self._wire = transport

    async def send(
        self,
        request: httpx2.Request,
        *,
        stream: bool = False,
        auth: Any = None,  # noqa: ARG002 - httpx2's signature
        follow_redirects: Any = None,  # noqa: ARG002 - as above
    ) -> httpx2.Response:
        response = await self._wire.handle_async_request(request)
        response.request = request
        if not stream:
            await response.aread()
        return response


async def _exchange(connection: Connection, data: bytes) -> Response:
    """Send, and wait for the answer's head: its `status` is 0 where the connection was lost before."""
    answer = connection.send(data)
    try:
        while not answer.status and not connection.lost:
            await connection.wait()
    except BaseException:
        connection.release()
        raise
    return answer


def _serialise(request: httpx2.Request, content: bytes) -> bytes:
    """The whole request in one piece, so that it leaves in one packet where it fits."""
    headers = request.headers.raw
    first = b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)
    head = b"\r\n".join([first, *(b"%b: %b" % header for header in headers), b"\r\n"])
    if head.count(b"\n") != len(headers) + 2 or head.count(b"\r") != len(headers) + 2:
        raise httpx2.LocalProtocolError("a header holds a line break")
    return head + content
