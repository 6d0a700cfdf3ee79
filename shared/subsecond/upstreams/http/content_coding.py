"""Undoes a content coding (RFC 9110, section 8.4) that a server applied although `identity` was asked for."""

from __future__ import annotations

import zlib

from subsecond.upstreams.http.exchange import Fields, Incoming, tokens

# Decoded bytes of one `take`: 100 KB of zeros in gzip are 100 MB.
PORTION = 1024 * 1024

_PLAIN = frozenset({b"", b"identity"})
_ZLIB = frozenset({b"gzip", b"x-gzip", b"deflate"})
_RAW = -zlib.MAX_WBITS
_ANY_HEADER = zlib.MAX_WBITS | 32  # zlib's or gzip's


class UnknownCoding(Exception):
    """The text is the coding's name."""


def decoded(incoming: Incoming) -> Incoming:
    """The same answer with its body decoded. UnknownCoding where it has a coding that Python's zlib does not know."""
    codings = [one for one in tokens(incoming.headers, b"content-encoding") if one not in _PLAIN]
    if not codings:
        return incoming
    if len(codings) > 1 or codings[0] not in _ZLIB:
        raise UnknownCoding(b", ".join(codings).decode("latin-1")[:40])
    return _Inflated(incoming)


class _Inflated:
    """Whatever the bytes that came say is given out at once: no delta of a stream is held back."""

    def __init__(self, incoming: Incoming) -> None:
        self.status = incoming.status
        self.headers: Fields = incoming.headers
        self.resent = incoming.resent
        self._incoming = incoming
        self._rest = b""  # came, and is not decoded yet
        self._inflate = zlib.decompressobj(_ANY_HEADER)
        self._begun = False

    @property
    def complete(self) -> bool:
        return self._incoming.complete and not self._rest

    def take(self) -> bytes:
        """As Incoming's, at most PORTION. ConnectionError where the bytes are no such coding, or end within it."""
        data = self._rest + self._incoming.take()
        if not data:
            if self.complete and self._begun and not self._inflate.eof:
                raise ConnectionError("the compressed answer broke off")
            return b""
        if self._inflate.eof:
            self._inflate = zlib.decompressobj(_ANY_HEADER)  # gzip's members may follow each other
        try:
            found = self._first(data) if not self._begun else self._inflate.decompress(data, PORTION)
        except zlib.error as error:
            raise ConnectionError("the answer is not compressed as it says") from error
        self._begun = True
        self._rest = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
        return found

    def _first(self, data: bytes) -> bytes:
        try:
            return self._inflate.decompress(data, PORTION)
        except zlib.error:
            # `deflate` is to have zlib's header; some servers leave it out.
            self._inflate = zlib.decompressobj(_RAW)
            return self._inflate.decompress(data, PORTION)

    async def wait(self, until: float | None = None) -> None:
        if not self._rest:
            await self._incoming.wait(until)

    def finish(self) -> None:
        self._incoming.finish()

    def close(self) -> None:
        self._incoming.close()
