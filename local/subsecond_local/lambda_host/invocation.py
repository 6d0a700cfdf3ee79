"""One event on its way through an environment, and where its response goes."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass, field
from typing import Any, Protocol

from subsecond_local.lambda_host.url_event import DELIMITER, EVENT_LIMIT, STREAM_LIMIT, STREAM_TYPE, stream_head
from subsecond_local.lambda_host.wire import Responder

TOO_LARGE = f"Response payload size exceeded maximum allowed payload size ({EVENT_LIMIT} bytes)."


class ThrottledError(Exception):
    """Every environment is taken, and none came free in time."""


class AbandonedError(Exception):
    """Its client is gone, and it had not begun."""


@dataclass(frozen=True, slots=True)
class FunctionError:
    """An invocation that failed, in Lambda's words. `cut`: the response ended without the runtime's saying so."""

    payload: bytes
    cut: bool = False

    @classmethod
    def of(cls, kind: str, message: str, *, cut: bool = False) -> FunctionError:
        return cls(json.dumps({"errorType": kind, "errorMessage": message}).encode(), cut)


class Sink(Protocol):
    """Where a response goes, piece by piece."""

    def open(self, content_type: str, *, streamed: bool) -> None:
        """The response begins."""

    def write(self, data: bytes) -> str | None:
        """Take a piece. What it returns says that it is too much: the invocation has failed."""


@dataclass(slots=True)
class Invocation:
    """`done` is set once: None, or what went wrong. `proof` is the invocation id that the runtime
    has to echo; `sender` its connection while it streams; `place` is where it waits for an environment."""

    event: bytes
    sink: Sink
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    proof: str = field(default_factory=lambda: str(uuid.uuid4()))
    done: asyncio.Future[FunctionError | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    sender: asyncio.Transport | None = None
    place: asyncio.Future[Any] | None = None

    def end(self, error: FunctionError | None = None) -> None:
        if not self.done.done():
            self.done.set_result(error)

    def abandon(self) -> None:
        """Nobody wants it any more. One that runs already goes on, as on AWS."""
        if self.place is not None and not self.place.done():
            self.place.set_exception(AbandonedError())

    def pace(self, *, go: bool) -> None:
        """A client that reads slowly slows the function, as on AWS."""
        if self.sender is None or self.sender.is_closing():
            return
        if go:
            self.sender.resume_reading()
        else:
            self.sender.pause_reading()


class Collected:
    """A response that is wanted whole."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._limit = EVENT_LIMIT

    @property
    def payload(self) -> bytes:
        return b"".join(self._pieces)

    def open(self, _content_type: str, *, streamed: bool) -> None:
        self._limit = STREAM_LIMIT if streamed else EVENT_LIMIT

    def write(self, data: bytes) -> str | None:
        self._size += len(data)
        if self._size > self._limit:
            return TOO_LARGE
        self._pieces.append(data)
        return None


class UrlStream:
    """A response that goes to a RESPONSE_STREAM URL's client as it comes."""

    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._prelude: bytes | None = None
        self._size = 0

    def open(self, content_type: str, *, streamed: bool) -> None:
        """Without the integration's content type nothing is parsed, as on AWS: the bytes are the body."""
        if streamed and content_type == STREAM_TYPE:
            self._prelude = b""
        else:
            self._responder.start(200, [("Content-Type", "application/octet-stream")])

    def write(self, data: bytes) -> str | None:
        self._size += len(data)
        if self._size > STREAM_LIMIT:
            return f"Response payload size exceeded maximum allowed payload size ({STREAM_LIMIT} bytes)."
        if self._prelude is None:
            self._responder.write(data)
            return None
        return self._begin(self._prelude + data)

    def _begin(self, data: bytes) -> str | None:
        prelude, delimiter, body = data.partition(DELIMITER)
        if not delimiter:
            self._prelude = data
            return None
        try:
            head = stream_head(prelude)
        except (ValueError, TypeError) as error:
            return f"The prelude cannot be read: {error}"
        self._prelude = None
        self._responder.start(head.status, head.headers)
        self._responder.write(body)
        return None
