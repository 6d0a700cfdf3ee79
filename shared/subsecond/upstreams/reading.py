"""From bytes that come in to a whole reply, or a stream of events, whichever the server chose."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Protocol

from subsecond.errors import UpstreamBrokeOff, UpstreamError, UpstreamUnreachable
from subsecond.model import Chunk
from subsecond.ports import Reply
from subsecond.streaming.sse import Splitter, is_done
from subsecond.upstreams.http.exchange import Incoming
from subsecond.upstreams.http.response_headers import content_type, kept_headers
from subsecond.upstreams.refusals import without
from subsecond.upstreams.time_limits import Clock

# Bytes of one answer, decoded. The largest honest one: 2,048 embeddings of 3,072 numbers are 34 MB in base64.
MAX_ANSWER = 64 * 1024 * 1024

# A payload that may be `[DONE]`: a test of its length costs less than one of its text.
_LONG_DONE = 64
_BLANK = b" \t\r\n\xef\xbb\xbf"
_FIELDS = (b":", b"data:", b"event:", b"id:", b"retry:")
_EVENTS = "text/event-stream"


async def read_answer(incoming: Incoming, clock: Clock, secret: bytes) -> Reply | Events:
    """The answer in the server's form: a reply whole, a stream up to its first event or comment."""
    parts: list[bytes] = []
    head = b""
    while (streams := _is_stream(incoming, head)) is None:
        if not (data := await more_of(incoming, clock)):
            streams = content_type(incoming.headers).lower().startswith(_EVENTS)
            break
        parts.append(data)
        head = (head + data.lstrip(_BLANK) if not head else head + data)[:8]
    if streams:
        events = Events(incoming, clock, secret, b"".join(parts))
        await events.begin()
        return events
    reply = await read_reply(incoming, clock, secret, parts)
    if not reply.body.strip():
        raise UpstreamUnreachable("The upstream's answer is empty.")
    return reply


async def read_reply(incoming: Incoming, clock: Clock, secret: bytes, parts: list[bytes]) -> Reply:
    """The whole of it. parts: what has been taken already."""
    while data := await more_of(incoming, clock):
        parts.append(data)
        check_size(sum(map(len, parts)))
    incoming.finish()
    kind = content_type(incoming.headers) or "application/json"
    return Reply(without(secret, b"".join(parts)), incoming.status, kind, kept_headers(incoming.headers, secret))


async def read_at_most(incoming: Incoming, clock: Clock, most: int) -> bytes:
    """The beginning of a body, or all of it. UpstreamUnreachable where it breaks off before."""
    parts: list[bytes] = []
    while sum(map(len, parts)) < most and (data := await more_of(incoming, clock)):
        parts.append(data)
    return b"".join(parts)[:most]


async def more_of(incoming: Incoming, clock: Clock) -> bytes:
    """What comes next of a body; b"" at the end. Raises UpstreamError."""
    while True:
        try:
            data = incoming.take()
        except ConnectionError as error:
            raise UpstreamBrokeOff("The upstream's answer broke off.") from error
        if data or incoming.complete:
            return data
        await _wait(incoming, clock)


async def _wait(incoming: Incoming, clock: Clock) -> None:
    until = clock.next()
    try:
        await incoming.wait(until)
    except TimeoutError:
        raise clock.late(until) from None


def _is_stream(incoming: Incoming, head: bytes) -> bool | None:
    """By the body's first bytes that are not blank, whatever the content type says; None: too few came."""
    if not head:
        return None
    if head[:1] in b"{[":
        return False
    if head.startswith(_FIELDS):
        return True
    if any(field.startswith(head) for field in _FIELDS):
        return None
    return content_type(incoming.headers).lower().startswith(_EVENTS)


def check_size(size: int) -> None:
    """Raises UpstreamError for an answer that is larger than any honest one."""
    if size > MAX_ANSWER:
        most = MAX_ANSWER // 1024 // 1024
        raise UpstreamError(f"The upstream's answer has more than {most} MiB.", code="upstream_too_large")


class Framing(Protocol):
    """Bytes in any cut -> chunks: `streaming.sse.Splitter`, or another wire's. ValueError says what is wrong."""

    def feed(self, data: bytes) -> list[Chunk]:
        """What `data` completes, in order."""

    def finish(self) -> list[Chunk]:
        """What the end of the body completes."""


class Events:
    """The port `EventStream`. begun: what has been taken already."""

    def __init__(
        self, incoming: Incoming, clock: Clock, secret: bytes, begun: bytes, framing: Framing | None = None
    ) -> None:
        self.headers = kept_headers(incoming.headers, secret)
        self._incoming = incoming
        self._clock = clock
        self._secret = secret
        self._framing: Framing = framing or Splitter()
        self._ready: deque[Chunk] = deque()
        self._ended = False
        self._size = 0
        self._paused = 0.0
        self._feed(begun)

    async def begin(self) -> None:
        """Reads up to the first event or comment. UpstreamUnreachable where there is none."""
        await self._fill()
        if not self._ready:
            raise UpstreamUnreachable("The upstream's answer ended before it began.")
        self._clock.begun = True

    async def next(self) -> Chunk | None:
        if not self._ready:
            if self._ended:
                return None
            self._clock.resume(self._paused)
            await self._fill()
        return self._ready.popleft() if self._ready else None

    def close(self) -> None:
        self._ended = True
        self._ready.clear()
        self._incoming.close()

    async def _fill(self) -> None:
        try:
            while not self._ready and not self._ended:
                if data := self._take():
                    self._feed(data)
                elif self._incoming.complete:
                    self._end()
                else:
                    await _wait(self._incoming, self._clock)
        except BaseException:
            self.close()
            raise
        self._paused = self._clock.now()

    def _take(self) -> bytes:
        try:
            return self._incoming.take()
        except ConnectionError as error:
            raise UpstreamBrokeOff("The upstream's answer broke off.") from error

    def _feed(self, data: bytes) -> None:
        self._size += len(data)
        check_size(self._size)
        try:
            self._give(self._framing.feed(data))
        except ValueError as error:
            raise UpstreamBrokeOff(f"The upstream's answer broke off: {error}.") from error

    def _give(self, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            if not chunk.comment and len(chunk.data) < _LONG_DONE and is_done(chunk.data):
                self._ended = True
                self._incoming.finish()
                return
            if self._secret and self._secret in chunk.data:
                chunk = replace(chunk, data=without(self._secret, chunk.data))  # noqa: PLW2901 - never but in a fault
            self._ready.append(chunk)

    def _end(self) -> None:
        """The body has ended without `[DONE]`: an end all the same, unless it is within an event."""
        self._incoming.finish()
        try:
            self._give(self._framing.finish())
        except ValueError as error:
            raise UpstreamBrokeOff(f"The upstream's answer broke off: {error}.") from error
        self._ended = True
