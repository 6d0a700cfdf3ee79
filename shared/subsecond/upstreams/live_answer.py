"""One answer that is coming in, told in the form that was asked for.

`stages/upstream.py` reads it where there is one upstream, `routing/attempts.py` where there are several models. What
the server says passes as it came. Where it answers in another form than it was asked in, the converter tells it in the
asked one; what does not convert is passed on as one event (a stream was asked) or is an error (a whole reply was).
"""

from __future__ import annotations

from subsecond.dialects.lookup import dialect_of
from subsecond.errors import UpstreamBrokeOff, UpstreamUnreachable
from subsecond.model import Call, Chunk, Headers, Recording
from subsecond.ports import EventStream, Reply, Upstream


class LiveAnswer:
    """Made by `open`. chunks: what has been read so far, in the asked form."""

    def __init__(self, call: Call, headers: Headers, stream: EventStream | None) -> None:
        self.headers = headers
        self.chunks: list[Chunk] = []
        self._form = call.form
        self._dialect = dialect_of(call.endpoint)
        self._stream = stream
        self._payloads: list[bytes] = []
        self._ended = stream is None
        self._exact = True  # whether what is told is what was said, and not put together loosely

    @classmethod
    async def open(cls, upstream: Upstream, call: Call) -> LiveAnswer:
        """Asked, and its beginning read: the body of a whole reply; of a stream all up to the first comment or choice.
        Raises UpstreamError, errors in disguise included. To be closed."""
        found = await upstream.ask(call)
        if isinstance(found, Reply):
            return cls._of_reply(call, found)
        answer = cls(call, found.headers, found)
        try:
            await answer._begin()
            if call.form == "whole":
                await answer._collect()
        except BaseException:
            answer.close()
            raise
        return answer

    @classmethod
    def _of_reply(cls, call: Call, reply: Reply) -> LiveAnswer:
        answer = cls(call, reply.headers, None)
        dialect = answer._dialect
        if error := dialect.not_an_answer(reply.body):
            error.headers = reply.headers
            raise error
        if call.form == "whole":
            answer._take(Chunk(reply.body))
            return answer
        for payload in dialect.to_stream(reply.body) or dialect.lone_event(reply.body):
            answer._take(Chunk(payload, dialect.is_usage_only(payload), name=dialect.event_name(payload)))
        return answer

    async def until_text(self) -> None:
        """Reads on until a choice says more than its role: until then nobody has won, and nothing is promised."""
        speaks = self._dialect.speaks
        if self._form == "whole" or any(speaks(chunk.data) for chunk in self.chunks if not chunk.comment):
            return
        while chunk := await self._read():
            self._take(chunk)
            if not chunk.comment and speaks(chunk.data):
                return
        if not any(map(self._dialect.begins, self._payloads)):
            raise UpstreamUnreachable(self._dialect.unbegun)

    async def next(self) -> Chunk | None:
        """What comes after `chunks`; None at the end. Raises UpstreamError when it breaks off or reports an error."""
        if self._ended:
            return None
        chunk = await self._read()
        if chunk and not chunk.comment:
            self._payloads.append(chunk.data)
        return chunk

    def recording(self) -> Recording:
        """Of all that was said, for the caches and the statistics. After the end."""
        return self._dialect.recorded(self._form, tuple(self._payloads), ended=self._ended and self._exact)

    def close(self) -> None:
        """Ends the upstream call, unless it has ended. May be called again."""
        if self._stream is not None:
            self._stream.close()

    async def _begin(self) -> None:
        while chunk := await self._read():
            self._take(chunk)
            if chunk.comment or self._dialect.begins(chunk.data):
                return
        raise UpstreamUnreachable(self._dialect.unbegun)

    async def _collect(self) -> None:
        """The events of a server that streams though it was asked for a whole reply."""
        while chunk := await self._read():
            self._take(chunk)
        body = self._dialect.to_whole(self._payloads)
        if body is None:
            body = self._dialect.joined_loosely(self._payloads) or b""
            self._exact = False  # told to this client, and to nobody else
        if error := self._dialect.not_an_answer(body):
            raise error
        self.chunks, self._payloads = [Chunk(body)], [body]

    async def _read(self) -> Chunk | None:
        assert self._stream is not None
        chunk = await self._stream.next()
        if chunk is None:
            self.close()  # the connection is free for the next call while this answer is stored
            if self._dialect.typed and not any(map(self._dialect.ends, reversed(self._payloads))):
                raise UpstreamBrokeOff("The model's stream ended before its answer did.")
            self._ended = True
            return None
        if chunk.comment:
            return chunk
        error = self._dialect.error_in_event(chunk.data, chunk.name)
        # What cannot be read at the beginning is no answer. Later it is passed on, for the client to say what it is:
        # unless its dialect has an error for that. The SDKs of those raise a bare JSONDecodeError otherwise.
        if error and not (self._payloads and isinstance(error, UpstreamBrokeOff) and not self._dialect.typed):
            raise error
        if self._dialect.is_usage_only(chunk.data):
            return Chunk(chunk.data, usage=True, name=chunk.name)
        return chunk

    def _take(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)
        if not chunk.comment:
            self._payloads.append(chunk.data)
