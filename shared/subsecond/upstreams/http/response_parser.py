"""HTTP/1.1 responses (RFC 9112), parsed as they come: bytes in any cut -> status, headers, body. No I/O.

The grammar is httptools' (llhttp, the parser of Node.js); here stands what a client has to add: which answer is the one
that counts, where a body ends that has no length, what is bounded, and whether the connection may be used again. Our
own parser in Python took 13 us for a call and 1.7 us for each chunk, httptools takes 6 and 0.3.
"""

from __future__ import annotations

import httptools

from subsecond.upstreams.http.exchange import tokens

# Bytes of a head, of a chunk's size line, of trailers, of interim answers.
MAX_LINES = 64 * 1024

_FINAL = 200  # codes below are interim: the answer itself is still to come
_SWITCHING = 101
_BODILESS = frozenset({204, 304})


class Response:
    """One response to a GET or POST. `status` is 0 until the head is whole; `body` holds the pieces not yet taken.
    headers: names in lower case."""

    __slots__ = ("_lines", "_open", "_parser", "begun", "body", "complete", "headers", "reusable", "status")

    def __init__(self) -> None:
        self.status = 0
        self.begun = False  # whether the server has said anything, be it an interim answer or nonsense
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: list[bytes] = []
        self.complete = False
        self.reusable = False  # whether the connection can carry another message after this one
        self._open = False  # no length, no chunks: the body lasts until the connection ends
        self._lines = 0  # bytes since the last one of the body
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        # What h11 takes and real servers send: a length beside chunks (which then is not believed), blanks behind a
        # chunk's size. Everything else that is doubtful is refused.
        self._parser.set_dangerous_leniencies(lenient_chunked_length=True, lenient_spaces_after_chunk_size=True)

    def feed(self, data: bytes) -> None:
        """ValueError where it is not HTTP/1.1."""
        self.begun = True
        if self._parser is None:
            self.reusable = self.reusable and not data
            return
        self._lines += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.complete:
                raise ValueError(f"not HTTP/1.1: {error.__context__ or error}") from None
            self.reusable = False  # what follows the answer is none of ours
        if self.complete:
            self._parser = None  # it refers to us: no garbage for the collector
        elif self._lines > MAX_LINES:
            raise ValueError("lines without end")

    def end(self) -> None:
        """The server has closed its side: the end of a body without a length, and of no other."""
        if self.status and self._open:
            self.complete = True
            self.reusable = False
            self._parser = None

    # httptools' side

    def on_message_begin(self) -> None:
        if self.complete:
            raise ValueError("an answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:  # else it is a trailer, which says nothing to us
            self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        if status == _SWITCHING:
            raise ValueError("another protocol, unasked")
        if status < _FINAL:
            self.headers.clear()
            return
        codings = tokens(self.headers, b"transfer-encoding")
        if codings not in ([], [b"chunked"]):
            raise ValueError("a transfer coding other than chunked")
        counted = bool(tokens(self.headers, b"content-length"))
        self.status = status
        self._open = not codings and not counted and status not in _BODILESS
        # A coding and a length together are how responses are smuggled: nothing after it is believed (section 6.1).
        self.reusable = not (codings and counted)

    def on_body(self, data: bytes) -> None:
        self._lines = 0
        self.body.append(data)

    def on_message_complete(self) -> None:
        assert self._parser is not None
        if self.status:
            self.complete = True
            self.reusable = self.reusable and self._parser.should_keep_alive()
