"""Server-sent events (the WHATWG's wire format): bytes in any cut -> chunks, and chunks -> bytes."""

from __future__ import annotations

import json

from subsecond.model import Chunk

MAX_EVENT = 16 * 1024 * 1024
DONE = b"data: [DONE]\n\n"

_FIELD = b"data: "
_BORDER = b"\n\n" + _FIELD
_BOM = b"\xef\xbb\xbf"
# An event without data. Clients that parse every event as JSON break at it, and none breaks at a comment, which is as
# good a sign of life.
_EMPTY = Chunk(b"", comment=True)


def encode(chunk: Chunk) -> bytes:
    """One event, or one comment. A payload of several lines becomes several `data:` lines, which a reader joins."""
    data = chunk.data
    if b"\n" in data or b"\r" in data:
        begin = b"\n:" if chunk.comment else b"\ndata: "
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", begin)
    if chunk.comment:
        return b":%b\n\n" % data
    if chunk.name:
        return b"event: %b\ndata: %b\n\n" % (chunk.name, data)
    return b"data: %b\n\n" % data


def is_done(payload: bytes) -> bool:
    """Whether it is OpenAI's end of a stream, which some servers send with blanks around it. No JSON begins so."""
    return payload.lstrip().startswith(b"[DONE]")


class Splitter:
    """The events and comments of a stream, however the stream is cut. Of an event `data` and `event` lines count, and
    `error` lines (older llama.cpp), which make it an event of that name; an unfinished one is given out by `finish`
    alone. ValueError when one event, or one line, holds more than `limit` bytes: what is kept is bounded."""

    __slots__ = ("_after_cr", "_event", "_limit", "_line", "_name", "_seen_any", "_started")

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._line = bytearray()  # the unfinished last line
        self._event = bytearray()  # the unfinished event's data, each line with its "\n"
        self._name = b""
        self._after_cr = False  # a "\n" that comes next belongs to a "\r" that has ended its line already
        self._started = False  # an event has begun, be it with an empty line of data
        self._seen_any = False  # a byte order mark can only be the very first

    def feed(self, data: bytes) -> list[Chunk]:
        """What `data` completes, in order. A comment is complete with its line, an event with the blank line."""
        # Nearly every read of a model's stream is one or more whole events of one `data: {...}` line each. Two line
        # breaks for each event, and none elsewhere, prove it.
        if not self._line and not self._started and data.startswith(_FIELD) and data.endswith(b"\n\n"):
            payloads = data[6:-2].split(_BORDER)
            if data.count(b"\n") == 2 * len(payloads) and b"\r" not in data and len(data) <= self._limit:
                self._after_cr = False
                self._seen_any = True
                return [Chunk(payload) if payload.strip() else _EMPTY for payload in payloads]
        return self._lines(data)

    def finish(self) -> list[Chunk]:
        """What the end of the body completes: an event that lacks its blank line. One that lacks its line break as well
        counts where its data is whole (JSON, `[DONE]`). ValueError where it is not: the body ends inside an event."""
        line = bytes(self._line)
        self._line.clear()
        if line.startswith(_BOM) and not self._seen_any:
            line = line.removeprefix(_BOM)
        name = line.partition(b":")[0]
        if name and b"data".startswith(name):
            self._take(line)
            if name != b"data" or not _is_whole(bytes(self._event)):
                raise ValueError("the body ends inside an event")
        return self._end() if self._event else []

    def _lines(self, data: bytes) -> list[Chunk]:
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if not data:
            return []
        self._after_cr = data.endswith(b"\r")
        if b"\n" not in data and b"\r" not in data:
            self._line += data
            self._check(len(self._line))
            return []
        # bytes.splitlines knows exactly the three line ends of the format: LF, CRLF and CR.
        lines = (bytes(self._line) + data).splitlines()
        self._line.clear()
        if not data.endswith((b"\n", b"\r")):
            self._line += lines.pop()
            self._check(len(self._line))
        return self._chunks(lines)

    def _chunks(self, lines: list[bytes]) -> list[Chunk]:
        chunks: list[Chunk] = []
        if not self._seen_any and lines:
            self._seen_any = True
            lines[0] = lines[0].removeprefix(_BOM)
        for line in lines:
            if not line:
                chunks += self._end()
            elif line.startswith(b":"):
                self._check(len(line))
                chunks.append(Chunk(line[1:], comment=True))
            else:
                self._take(line)
        return chunks

    def _end(self) -> list[Chunk]:
        """The event that a blank line ends, if there is one."""
        if not self._started:
            return []
        payload, name = bytes(self._event[:-1]), self._name
        self._event.clear()
        self._name, self._started = b"", False
        return [Chunk(payload, name=name) if payload.strip() else _EMPTY]

    def _take(self, line: bytes) -> None:
        self._check(len(line))
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field in (b"data", b"error"):
            self._event += value + b"\n"
            self._name = b"error" if field == b"error" else self._name
            self._started = True
            if len(self._event) - 1 > self._limit:
                raise ValueError(f"an event of more than {self._limit} bytes")
        elif field == b"event":
            self._name = b"" if value == b"message" else value
            self._started = True

    def _check(self, line: int) -> None:
        # The field's name is not part of the payload: a full event in one line must pass.
        if line > self._limit + len(_FIELD):
            raise ValueError(f"a line of more than {self._limit} bytes")


def _is_whole(data: bytes) -> bool:
    if is_done(data):
        return True
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True
