"""A completion's events as an HTTP response, streamed or whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from subsecond.api.errors import error_response, unexpected
from subsecond.api.headers import response_headers
from subsecond.api.request import RequestContext
from subsecond.api.stream_encoder import StreamEncoder
from subsecond.api.wire import DeliveryOptions
from subsecond.cache.forms import replayed
from subsecond.dialects.chat import DIALECT as CHAT
from subsecond.dialects.dialect import Dialect, Renamer
from subsecond.dialects.lookup import dialect_of
from subsecond.errors import DialectNotSpoken, SubsecondError, UpstreamError
from subsecond.model import Call, Chunk, Done, Endpoint, Event, Head
from subsecond.stages.authenticate import Claim
from subsecond.streaming.json_bytes import dump
from subsecond.streaming.sse import encode

# Written at once at the most, so that a long replay leaves room for other requests.
REPLAY_WRITE = 64 * 1024

Headers = list[tuple[bytes, bytes]]
Plan = Callable[[dict[str, Any]], tuple[Call, DeliveryOptions]]

STREAM_HEADERS: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # Proxies that buffer would undo the streaming.
    (b"x-accel-buffering", b"no"),
]


class GuardedResponse(Response):
    """A response that does its request's work while it is sent: one place sees every way in which it can end.

    dialect: in which failures are told. events: how many of a stream were told; begun: the first of them.
    """

    dialect: Dialect = CHAT
    events = 0
    begun = b""

    def __init__(self, context: RequestContext) -> None:
        # Response's own constructor would render a body: there is none yet.
        self.context = context
        self.background = None
        self._started = False
        self._streaming = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.work(send)
        except asyncio.CancelledError:
            if not self.context.left:
                raise
            _forget_cancellation()
        except ClientDisconnect:
            # Before the body's end: there is nobody to answer, and no failure of ours.
            await self.context.refused(asyncio.CancelledError())
        except SubsecondError as error:
            await self._fail(error, scope, receive, send)
        except Exception as error:  # noqa: BLE001 -- the face's last resort: the client gets an error, not a torn line
            await self._fail(unexpected(error, self.context.trace.request_id), scope, receive, send)
        finally:
            self.context.settle()

    async def work(self, send: Send) -> None:
        """Authenticate, answer, send. Overridden."""
        raise AssertionError(send)

    async def start(self, send: Send, headers: Headers, *, streaming: bool) -> None:
        self._started, self._streaming = True, streaming
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def send_whole(self, body: bytes, send: Send, content_type: str = "application/json") -> None:
        headers = [
            (b"content-type", content_type.encode("latin-1")),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", self.context.trace.request_id.encode()),
        ]
        await self.start(send, headers, streaming=False)
        await write(send, body, more=False)

    async def _fail(self, error: SubsecondError, scope: Scope, receive: Receive, send: Send) -> None:
        await self.context.refused(error)
        if isinstance(error, DialectNotSpoken):
            from subsecond.api.dialects_not_served import with_remedy  # for those who are refused

            error = with_remedy(error, self.dialect.endpoint, self.context.headers.get("user-agent", ""))
        if not self._started:
            await error_response(error, self.context.trace.request_id, self.dialect)(scope, receive, send)
        elif self._streaming:
            said = error.said if isinstance(error, UpstreamError) else None
            told = self.dialect.failure(error.body(), self.events, self.begun, said)
            await write(send, b"".join(map(encode, told)), more=False)


class CompletionReply(GuardedResponse):
    """One completion. `plan` checks the body and says what is asked and how it shall travel. keeps: whether what is
    told is to be heard first."""

    keeps = False

    def __init__(self, context: RequestContext, plan: Plan, endpoint: Endpoint = "chat") -> None:
        super().__init__(context)
        self.dialect = dialect_of(endpoint)
        self.plan = plan

    async def work(self, send: Send) -> None:
        context = self.context
        claim, (call, options) = await context.claimed(self.plan)
        context.watch()
        await self.send_completion(claim, call, options, send)

    async def send_completion(self, claim: Claim, call: Call, options: DeliveryOptions, send: Send) -> None:
        context = self.context
        async with aclosing(context.gateway.complete(claim.tenant, call, context.trace, claim)) as events:
            head = await anext(events)
            assert isinstance(head, Head)
            if call.form == "stream":
                await self._stream(head, options, events, send)
            else:
                await self._whole(head, options, events, send)

    async def hear(self, payload: bytes) -> None:
        """An event, or a body, that is about to be told. Overridden."""

    async def _stream(self, head: Head, options: DeliveryOptions, events: AsyncGenerator[Event], send: Send) -> None:
        """Last event, the end, then the pipeline's writes; the end of the response comes before or after these."""
        trace = self.context.trace
        await self.start(
            send, [*STREAM_HEADERS, *response_headers(head, trace, self.dialect.request_id)], streaming=True
        )
        encoder, live = StreamEncoder(options, self.dialect, self._renamer()), False
        async for event in events:
            if isinstance(event, Chunk):
                live = True
                self.events += not event.comment
                if self.keeps:
                    await self.hear(event.data)
                data = encoder.encode(event)
                self.begun = encoder.first
                if data:
                    await write(send, data)
            elif isinstance(event, Done):
                if not live:
                    await _write_all(send, map(encoder.encode, replayed(self.dialect.endpoint, event.recording)))
                self.context.settle()
                self._streaming = not self.context.ends_early  # nothing more can be told
                await write(send, encoder.finish(trace), more=self._streaming)
        if self._streaming:
            await write(send, b"", more=False)

    async def _whole(self, head: Head, options: DeliveryOptions, events: AsyncGenerator[Event], send: Send) -> None:
        """The body, then the pipeline's writes, as in `_stream`."""
        sent = False
        async for event in events:
            if isinstance(event, Head) or sent:
                continue
            sent = True
            body = event.data if isinstance(event, Chunk) else event.recording.payloads[0]
            if self.keeps:
                await self.hear(body)
            body = rename(body) if (rename := self._renamer()) else body
            body = self._body(body, head, options)
            self.context.settle()
            await self.start(send, self._whole_headers(head, body), streaming=False)
            await write(send, body, more=not self.context.ends_early)
        if not self.context.ends_early:
            await write(send, b"", more=False)

    def _renamer(self) -> Renamer | None:
        """For an answer that was not made for this request."""
        return None if self.context.trace.source == "upstream" else self.dialect.renamer()

    def _whole_headers(self, head: Head, body: bytes) -> Headers:
        headers = response_headers(head, self.context.trace, self.dialect.request_id)
        return [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]

    def _body(self, body: bytes, head: Head, options: DeliveryOptions) -> bytes:
        extra = self.extra_fields(body, head)
        if options.trace:
            extra["subsecond"] = self.context.trace.public()
        return with_fields(body, extra) if extra else body

    def extra_fields(self, body: bytes, head: Head) -> dict[str, Any]:
        """What a route's replies carry beside the upstream's fields. Overridden."""
        del body, head
        return {}


class JsonReply(GuardedResponse):
    """A whole reply that `make` produces: a body and its content type."""

    def __init__(self, context: RequestContext, make: Callable[[], Awaitable[tuple[str, bytes]]]) -> None:
        super().__init__(context)
        self._make = make

    async def work(self, send: Send) -> None:
        content_type, body = await self._make()
        self.context.settle()
        await self.send_whole(body, send, content_type)


async def write(send: Send, data: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def _write_all(send: Send, pieces: Iterable[bytes]) -> None:
    """Many small pieces in few writes: each write costs a system call, and nobody waits between them."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        if len(buffer) >= REPLAY_WRITE:
            await write(send, bytes(buffer))
            buffer.clear()
    if buffer:
        await write(send, bytes(buffer))


def with_fields(body: bytes, fields: Mapping[str, Any]) -> bytes:
    """The JSON object with these fields behind its own, whose bytes stay as they are."""
    rest = body.rstrip()
    comma = b"" if rest[:-1].rstrip().endswith(b"{") else b","
    return rest[:-1] + comma + dump(fields)[1:]


def _forget_cancellation() -> None:
    """The watch cancelled this task because its client had gone; that is dealt with, the server's task lives on."""
    task = asyncio.current_task()
    if task:
        task.uncancel()
