"""A request that passes unread, and its answer: what `pass_on` of the adapters shares."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import replace

from subsecond.model import Headers, Passage
from subsecond.streaming.json_bytes import dump
from subsecond.upstreams.http.exchange import Incoming
from subsecond.upstreams.http.response_headers import content_type, kept_headers
from subsecond.upstreams.reading import check_size, more_of, read_reply
from subsecond.upstreams.time_limits import Clock

JSON = "application/json"


def renamed(passage: Passage, model: str) -> Passage:
    """Under the name that the model has at its server. Nothing else of it changes; its bytes do not where it is so
    called anyway."""
    if model == passage.model:
        return passage
    content = passage.content
    if passage.span is None:
        content = dump({**json.loads(content), "model": model})
    else:
        begin, end = passage.span
        content = content[:begin] + model.encode() + content[end:]
    return replace(passage, content=content, model=model, span=None)


async def read_bytes(incoming: Incoming, clock: Clock, secret: bytes) -> Pieces:
    """JSON is read whole, because it may quote our key; anything else as it comes."""
    if content_type(incoming.headers).startswith(JSON):
        reply = await read_reply(incoming, clock, secret, [])
        return Pieces(incoming, clock, reply.content_type, reply.headers, [reply.body])
    kind = content_type(incoming.headers) or "application/octet-stream"
    clock.begun = True
    return Pieces(incoming, clock, kind, kept_headers(incoming.headers, secret))


class Pieces:
    """The port `ByteStream`. read: all of it, where it was read already."""

    def __init__(
        self, incoming: Incoming, clock: Clock, kind: str, headers: Headers, read: list[bytes] | None = None
    ) -> None:
        self.content_type = kind
        self.headers = headers
        self._incoming = incoming
        self._clock = clock
        self._ready = deque(read or ())
        self._ended = read is not None
        self._size = 0
        self._paused = clock.now()

    async def next(self) -> bytes | None:
        if self._ready:
            return self._ready.popleft()
        if self._ended:
            return None
        self._clock.resume(self._paused)
        try:
            data = await more_of(self._incoming, self._clock)
            check_size(self._size + len(data))
        except BaseException:
            self.close()
            raise
        self._size += len(data)
        self._paused = self._clock.now()
        if not data:
            self._ended = True
            self._incoming.finish()
        return data or None

    def close(self) -> None:
        if not self._ended:
            self._ended = True
            self._incoming.close()
