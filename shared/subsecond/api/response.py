"""A completion's events as an HTTP response, streamed or whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from subsecond.api.errors import error_response, unexpected
from subsecond.api.headers import response_headers
from subsecond.api.request import Exchange, error_event
from subsecond.api.stream_encoder import Voice
from subsecond.api.wire import Travel
from subsecond.errors import SubsecondError
from subsecond.model import Answer, Call, Chunk, Done, Event, Head, Tenant
from subsecond.streaming.replay import replay
from subsecond.streaming.sse import DONE
from subsecond.streaming.transcript import dump

# Written at once at the most, so that a long replay leaves room for other requests.
REPLAY_WRITE = 64 * 1024

Headers = list[tuple[bytes, bytes]]
Plan = Callable[[dict[str, Any]], tuple[Call, Travel]]

STREAM_HEADERS: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # Proxies that buffer would undo the streaming.
    (b"x-accel-buffering", b"no"),
]


class GuardedResponse(Response):
    """A response that does its request's work while it is sent: one place sees every way in which it can end."""

    def __init__(self, exchange: Exchange) -> None:
        # Response's own constructor would render a body: there is none yet.
        self.exchange = exchange
        self.background = None
        self._started = False
        self._streaming = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.work(send)
        except asyncio.CancelledError:
            if not self.exchange.left:
                raise
            _forget_cancellation()
        except SubsecondError as error:
            await self._fail(error, scope, receive, send)
        except Exception as error:  # noqa: BLE001 -- the face's last resort: the client gets an error, not a torn line
            await self._fail(unexpected(error, self.exchange.trace.request_id), scope, receive, send)
        finally:
            self.exchange.settle()

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
            (b"x-request-id", self.exchange.trace.request_id.encode()),
        ]
        await self.start(send, headers, streaming=False)
        await write(send, body, more=False)

    async def _fail(self, error: SubsecondError, scope: Scope, receive: Receive, send: Send) -> None:
        await self.exchange.refused(error)
        if not self._started:
            await error_response(error, self.exchange.trace.request_id)(scope, receive, send)
        elif self._streaming:
            await write(send, error_event(error), more=False)


class CompletionReply(GuardedResponse):
    """One completion. `plan` checks the body and says what is asked and how it shall travel."""

    def __init__(self, exchange: Exchange, plan: Plan) -> None:
        super().__init__(exchange)
        self._plan = plan

    async def work(self, send: Send) -> None:
        exchange = self.exchange
        tenant = await exchange.authenticate()
        call, travel = self._plan(await exchange.body())
        exchange.watch()
        await self.send_completion(tenant, call, travel, send)

    async def send_completion(self, tenant: Tenant, call: Call, travel: Travel, send: Send) -> None:
        exchange = self.exchange
        async with aclosing(exchange.gateway.complete(tenant, call, exchange.trace)) as events:
            head = await anext(events)
            assert isinstance(head, Head)
            deliver = self._stream if travel.stream else self._whole
            await deliver(head, call, travel, events, send)

    async def _stream(self, head: Head, _call: Call, travel: Travel, events: AsyncGenerator[Event], send: Send) -> None:
        """Last chunk, `[DONE]`, then the pipeline's writes, then the end of the response."""
        trace = self.exchange.trace
        await self.start(send, STREAM_HEADERS + response_headers(head, trace), streaming=True)
        voice = Voice(travel)
        async for event in events:
            if isinstance(event, Chunk):
                if data := voice.say(event):
                    await write(send, data)
            elif isinstance(event, Done):
                if head.source != "upstream":
                    await _write_all(send, map(voice.say, replay(event.answer)))
                self.exchange.settle()
                await write(send, voice.finish(trace) + DONE)
        await write(send, b"", more=False)

    async def _whole(self, head: Head, call: Call, travel: Travel, events: AsyncGenerator[Event], send: Send) -> None:
        async for event in events:
            if isinstance(event, Done):
                body = self._body(event.answer, head, call, travel)
                self.exchange.settle()
                await self.start(send, self._whole_headers(head, body), streaming=False)
                await write(send, body)
        await write(send, b"", more=False)

    def _whole_headers(self, head: Head, body: bytes) -> Headers:
        headers = response_headers(head, self.exchange.trace)
        return [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]

    def _body(self, answer: Answer, head: Head, call: Call, travel: Travel) -> bytes:
        extra = self.extra_fields(answer, head, call)
        if travel.trace:
            extra["subsecond"] = self.exchange.trace.public()
        return answer.body[:-1] + b"," + dump(extra)[1:] if extra else answer.body

    def extra_fields(self, answer: Answer, head: Head, call: Call) -> dict[str, Any]:
        """The plain fields that `/v1/completions` carries beside OpenAI's."""
        if call.endpoint != "text":
            return {}
        cached = head.source != "upstream"
        return {
            "response": json.loads(answer.body)["choices"][0]["text"],
            "cached": cached,
            "cache_type": head.source if cached else None,
            "latency_ms": round((self.exchange.trace.first or 0.0) * 1000, 3),
        }


class JsonReply(GuardedResponse):
    """A whole reply that `make` produces: a body and its content type."""

    def __init__(self, exchange: Exchange, make: Callable[[], Awaitable[tuple[str, bytes]]]) -> None:
        super().__init__(exchange)
        self._make = make

    async def work(self, send: Send) -> None:
        content_type, body = await self._make()
        self.exchange.settle()
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


def _forget_cancellation() -> None:
    """The watch cancelled this task because its client had gone; that is dealt with, the server's task lives on."""
    task = asyncio.current_task()
    if task:
        task.uncancel()
