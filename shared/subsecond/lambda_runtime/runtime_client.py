"""AWS's runtime client, taught to stream.

`bootstrap.run(handler, client)` takes the client, and `client.marshaller` is documented as replaceable: these two seams
are all that is used, so contexts, log formats, error reports and SnapStart hooks stay AWS's own. A contract test holds
the installed awslambdaric against them.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable

from awslambdaric.lambda_runtime_client import LambdaRuntimeClient  # type: ignore[import-untyped]
from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller  # type: ignore[import-untyped]

from .http_stream import CONTENT_TYPE, HttpStream, ending, frame, prelude, request_head

log = logging.getLogger(__name__)

ACCEPTED = 202


class StreamMarshaller(LambdaMarshaller):  # type: ignore[misc]
    """Lets an HttpStream through unchanged; everything else becomes JSON as usual."""

    def marshal_response(self, response: object) -> tuple[object, str]:
        if isinstance(response, HttpStream):
            return response, CONTENT_TYPE
        encoded: tuple[object, str] = super().marshal_response(response)
        return encoded


class StreamingRuntimeClient(LambdaRuntimeClient):  # type: ignore[misc]
    """Posts an HttpStream chunk by chunk; any other result takes AWS's own way."""

    marshaller = StreamMarshaller()

    def __init__(self, address: str, *polling: bool) -> None:
        super().__init__(address, *polling)
        self._address = address
        self._loop: asyncio.AbstractEventLoop | None = None

    def post_invocation_result(
        self, invoke_id: str, result_data: object, content_type: str = "application/json", *ids: str | None
    ) -> None:
        """`ids`: the invocation id, which awslambdaric passes since 4.2, and whatever a later one may add."""
        if not isinstance(result_data, HttpStream):
            super().post_invocation_result(invoke_id, result_data, content_type, *ids)
            return
        loop = result_data.loop or self._own_loop()
        head = request_head(self._address, invoke_id, ids[0] if ids else None)
        # A connection for each stream: AWS asks the runtime to close it once the response is written.
        with _connect(self._address) as connection:
            loop.run_until_complete(_post(connection, head, result_data, invoke_id))
        if result_data.after is not None:
            loop.run_until_complete(_awaited(result_data.after))

    def handle_exception(self, exc: Exception, func_to_retry: object = None, *backoff: object) -> None:
        """A result that is not taken (410: the invocation is over, 413: too large) is no reason to die."""
        if func_to_retry is not None:
            super().handle_exception(exc, func_to_retry, *backoff)
        log.warning("The result was not taken: %s", exc)

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        self._loop = self._loop or asyncio.new_event_loop()
        return self._loop


class _HungUpError(Exception):
    """The Runtime API hung up while the response was being written."""


def _connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)))
    # Without this every second small chunk would wait for the acknowledgement of the one before it (40 ms).
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(0)
    return connection


async def _post(connection: socket.socket, head: bytes, stream: HttpStream, invoke_id: str) -> None:
    # The pump is a task of its own so that whatever a handler's chunks raise is a value here, and becomes trailers.
    pump = asyncio.ensure_future(_pump(connection, head, stream))
    await asyncio.wait((pump,))
    error = asyncio.CancelledError("the response was cancelled") if pump.cancelled() else pump.exception()
    try:
        if not isinstance(error, _HungUpError):
            if error is not None:
                log.error("The response to %s broke off", invoke_id, exc_info=error)
            await _write(connection, ending(error))
        reply = await _reply(connection)
    except _HungUpError:
        reply = await _reply(connection)
    status, _, text = reply.partition(b"\r\n")
    if status.split(b" ")[1:2] != [b"%d" % ACCEPTED]:
        log.warning("The response to %s was not taken: %s %s", invoke_id, status.decode("latin-1"), text[-200:])


async def _awaited(work: Callable[[], Awaitable[None]]) -> None:
    await work()


async def _pump(connection: socket.socket, head: bytes, stream: HttpStream) -> None:
    chunks = stream.chunks if isinstance(stream.chunks, AsyncIterable) else _in_turn(stream.chunks)
    try:
        await _write(connection, head + frame(prelude(stream)))
        async for chunk in chunks:
            if chunk:
                await _write(connection, frame(chunk))
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()


async def _in_turn(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def _write(connection: socket.socket, data: bytes) -> None:
    try:
        # Sends at once when the socket takes it all, without a turn of the loop.
        await asyncio.get_running_loop().sock_sendall(connection, data)
    except OSError as error:
        raise _HungUpError(str(error)) from error


async def _reply(connection: socket.socket) -> bytes:
    """The Runtime API's short answer; whatever came, when it hung up."""
    loop, reply = asyncio.get_running_loop(), b""
    try:
        while b"\r\n\r\n" not in reply and (data := await loop.sock_recv(connection, 65_536)):
            reply += data
    except OSError as error:
        log.debug("No answer: %s", error)
    return reply
