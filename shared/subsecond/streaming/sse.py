"""Server-sent events (the WHATWG's wire format): bytes in any cut -> payloads, and payloads -> bytes."""

from __future__ import annotations

MAX_EVENT = 16 * 1024 * 1024
DONE = b"data: [DONE]\n\n"

_FIELD = b"data: "
_BORDER = b"\n\n" + _FIELD
_BOM = b"\xef\xbb\xbf"


def encode(payload: bytes) -> bytes:
    """One event. A payload of several lines becomes several `data:` lines, which a reader joins again."""
    if b"\n" in payload or b"\r" in payload:
        payload = payload.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\ndata: ")
    return b"data: %b\n\n" % payload


class Splitter:
    """The payloads of a stream of events, however the stream is cut. Only `data` lines count; an unfinished event is
    never given out. ValueError when one event, or one line, holds more than `limit` bytes: what is kept is bounded."""

    __slots__ = ("_after_cr", "_event", "_limit", "_line", "_seen_any", "_started")

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._line = bytearray()  # the unfinished last line
        self._event = bytearray()  # the unfinished event's data, each line with its "\n"
        self._after_cr = False  # a "\n" that comes next belongs to a "\r" that has ended its line already
        self._started = False  # `_event` holds a line, be it an empty one
        self._seen_any = False  # a byte order mark can only be the very first

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads of the events that `data` completes, in order."""
        # Nearly every read of a model's stream is one or more whole events of one `data: {...}` line each. Two line
        # breaks for each event, and none elsewhere, prove it.
        if not self._line and not self._started and data.startswith(_FIELD) and data.endswith(b"\n\n"):
            payloads = data[6:-2].split(_BORDER)
            if data.count(b"\n") == 2 * len(payloads) and b"\r" not in data and len(data) <= self._limit:
                self._after_cr = False
                self._seen_any = True
                return payloads
        return self._lines(data)

    def _lines(self, data: bytes) -> list[bytes]:
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
        return self._events(lines)

    def _events(self, lines: list[bytes]) -> list[bytes]:
        payloads: list[bytes] = []
        if not self._seen_any and lines:
            self._seen_any = True
            lines[0] = lines[0].removeprefix(_BOM)
        for line in lines:
            if line:
                self._take(line)
            elif self._started:
                payloads.append(bytes(self._event[:-1]))
                self._event.clear()
                self._started = False
        return payloads

    def _take(self, line: bytes) -> None:
        self._check(len(line))
        name, _, value = line.partition(b":")
        if name == b"data":
            self._event += value.removeprefix(b" ") + b"\n"
            self._started = True
            if len(self._event) - 1 > self._limit:
                raise ValueError(f"an event of more than {self._limit} bytes")

    def _check(self, line: int) -> None:
        # The field's name is not part of the payload: a full event in one line must pass.
        if line > self._limit + len(_FIELD):
            raise ValueError(f"a line of more than {self._limit} bytes")
