"""A client's connection: bytes out, whole answers in, or as much of them as it cares to read."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import httptools

from subsecond_local.run.ports import HOST

# Longer than the gateway's own time limits in the soak: who waits longer has been forgotten.
PATIENCE = 30.0
BROKE_OFF = "200, then an error"
COMPLETIONS = "/v1/chat/completions"
# With one of these the last event of a stream begins that has come to its end. A trace, where one was asked for, comes
# behind a whole answer alone.
ENDS = (b"data: [DONE]", b"event: response.completed\n", b"event: message_stop\n", b"event: subsecond.trace\n")


@dataclass(slots=True)
class Answer:
    """status 0: none came. whole: it ended as HTTP says. first: seconds until its first byte."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    parts: list[bytes] = field(default_factory=list)
    whole: bool = False
    first: float = 0.0
    problem: str = ""

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)

    @property
    def streamed(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def end(self) -> str:
        """In short: a status, or words."""
        if self.status and not self.whole:
            return f"{self.status}, then {self.problem}"
        if self.status == 200 and self.streamed and not self._has_ended():
            return BROKE_OFF
        return str(self.status or self.problem)

    def _has_ended(self) -> bool:
        body = self.body
        return body.endswith(b"\n\n") and body[:-2].rpartition(b"\n\n")[2].startswith(ENDS)

    def events(self) -> list[Any]:
        """The payloads of a stream, `[DONE]` as None."""
        lines = [line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: ")]
        return [None if line == b"[DONE]" else json.loads(line) for line in lines]


def request(
    port: int, key: str, body: bytes = b"", path: str = COMPLETIONS, headers: Sequence[str] = (), method: str = ""
) -> bytes:
    """As bytes. method: by itself a POST, a GET without a body."""
    lines = (
        f"{method or ('POST' if body else 'GET')} {path} HTTP/1.1",
        f"host: {HOST}:{port}",
        f"authorization: Bearer {key}",
        "content-type: application/json",
        f"content-length: {len(body)}",
    )
    return "\r\n".join((*lines, *headers, "\r\n")).encode() + body


class Wire:
    """One connection. It is opened anew once an end of it has closed it. narrow: it takes little at a time."""

    def __init__(self, port: int, *, narrow: bool = False) -> None:
        self._port, self._narrow = port, narrow
        self._writer: asyncio.StreamWriter | None = None
        self._failed = ""
        self.answers: deque[Answer] = deque()

    async def send(self, raw: bytes) -> None:
        """What fails here is told as the problem of the answer."""
        try:
            await self._send(raw)
        except OSError as error:
            self._failed = type(error).__name__
            self.close()

    async def _send(self, raw: bytes) -> None:
        if self._writer is None:
            taken = socket.socket()
            taken.settimeout(0)
            if self._narrow:
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await asyncio.get_running_loop().sock_connect(taken, (HOST, self._port))
            self._reader, self._writer = await asyncio.open_connection(sock=taken, limit=4096)
            self._parser = httptools.HttpResponseParser(self)
        self._sent = perf_counter()
        self._writer.write(raw)
        await self._writer.drain()

    async def read(self, *, pause: float = 0.0, most: int = 0) -> Answer:
        """The next answer, read to its end, or until `most` bytes of the connection are read. pause: before each
        piece."""
        if self._writer is None:
            return Answer(problem=self._failed)
        read = 0
        try:
            async with asyncio.timeout(PATIENCE):
                while not (self.answers and self.answers[0].whole) and not (most and read >= most):
                    if pause:
                        await asyncio.sleep(pause)
                    if not (data := await self._reader.read(min(4096, most - read) if most else 4096)):
                        return self._broken("closed")
                    read += len(data)
                    self._parser.feed_data(data)
        except TimeoutError:
            return self._broken("no end in time")
        except (OSError, httptools.HttpParserError) as error:
            return self._broken(type(error).__name__)
        answer = self.answers.popleft() if self.answers else Answer()
        if not answer.whole or answer.headers.get("connection") == "close":
            self.close()
        return answer

    def close(self) -> None:
        """At once, whatever is on its way."""
        if self._writer:
            self._writer.transport.abort()
        self._writer = None
        self.answers.clear()

    def _broken(self, problem: str) -> Answer:
        answer = self.answers.popleft() if self.answers else Answer()
        answer.problem = problem
        self.close()
        return answer

    def on_message_begin(self) -> None:
        self.answers.append(Answer(first=perf_counter() - self._sent))

    def on_header(self, name: bytes, value: bytes) -> None:
        self.answers[-1].headers[name.decode().lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.answers[-1].status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.answers[-1].parts.append(body)

    def on_message_complete(self) -> None:
        self.answers[-1].whole = True
