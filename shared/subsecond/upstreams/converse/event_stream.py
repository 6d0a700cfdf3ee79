"""AWS's event stream as it comes in: what is common to Bedrock's two streams."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from subsecond.errors import UpstreamError
from subsecond.model import Chunk
from subsecond.streaming.events import parsed
from subsecond.upstreams.converse.failures import failure

DONE = Chunk(b"[DONE]")


class EventStreamSplitter(ABC):
    """As `streaming.sse.Splitter`, of AWS's event stream: botocore's decoder, which is incremental, checks both CRCs of
    each message and takes none of more than 24 MB. An exception before anything was said is raised, as a status would
    be; later it is an error event. ValueError for what is no event stream, and where it ends before the answer does."""

    def __init__(self) -> None:
        from botocore.eventstream import EventStreamBuffer, ParserError  # 11 ms, not for a hit

        self.finished = False
        self._messages: Any = EventStreamBuffer()
        self._broken = ParserError
        self._given = False

    @abstractmethod
    def take(self, kind: str, event: Mapping[str, Any]) -> list[Chunk]:
        """What an event says, as chunks. Sets `finished` at the answer's end."""

    @abstractmethod
    def failed(self, error: UpstreamError) -> Chunk:
        """The error as an event of the client's dialect."""

    def feed(self, data: bytes) -> list[Chunk]:
        self._messages.add_data(data)
        chunks: list[Chunk] = []
        try:
            for message in self._messages:
                chunks += self._told(message.headers, message.payload, first=not (chunks or self._given))
        except self._broken as error:
            raise ValueError(f"an event is damaged ({type(error).__name__})") from error
        self._given = self._given or bool(chunks)
        return chunks

    def finish(self) -> list[Chunk]:
        if not self.finished:
            raise ValueError("it ended before the model had finished")
        return []

    def _told(self, headers: Mapping[str, Any], payload: bytes, *, first: bool) -> list[Chunk]:
        try:
            if headers.get(":message-type") == "event":
                return self.take(str(headers.get(":event-type")), parsed(payload) or {})
            name = str(headers.get(":exception-type") or headers.get(":error-code") or "unknown")
            said = parsed(payload)
            message = said.get("message") if isinstance(said, dict) else headers.get(":error-message")
            raise failure(name, str(message or ""))
        except UpstreamError as error:
            if first:
                raise
            self.finished = True
            return [self.failed(error), DONE]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("an event is none of Bedrock's") from error
