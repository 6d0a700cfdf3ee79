"""What sends a request and gives its answer: the port between an adapter of `upstreams/` and the wire below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

# Header fields as they came, names in lower case.
Fields = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request to a server. content: None where there is none. headers: more than the server always gets. method: ""
    for POST, or GET without content."""

    path: str
    content: bytes | None = None
    headers: Fields = ()
    method: str = ""

    @property
    def verb(self) -> str:
        return self.method or ("GET" if self.content is None else "POST")


class SendFailed(Exception):
    """No head of an answer came. The text says why, for the log. sent: how often the request went out, or failed to."""

    def __init__(self, why: str, *, sent: int = 1) -> None:
        super().__init__(why)
        self.sent = sent


class ConnectTimeout(SendFailed):
    """Connecting took too long."""


class Incoming(Protocol):
    """An answer that is coming in. resent: whether the request went out twice."""

    status: int
    headers: Fields
    resent: bool

    @property
    def complete(self) -> bool:
        """Nothing more will come. What has come may not have been taken yet."""

    def take(self) -> bytes:
        """What has come since, b"" where nothing has. ConnectionError when it broke off."""

    async def wait(self, until: float | None = None) -> None:
        """Until there is more to take, or the end. TimeoutError at `until`, on the event loop's clock."""

    def finish(self) -> None:
        """The reader has all it wants."""

    def close(self) -> None:
        """Ends the exchange, unless it has ended."""


def tokens(headers: Fields, name: bytes) -> list[bytes]:
    """The comma-separated values of every header of that name (in lower case), in lower case."""
    values = [value for key, value in headers if key == name]
    return [token.strip() for token in b",".join(values).lower().split(b",")] if values else []
