"""Undoes a content coding (RFC 9110, section 8.4) that a server applied although `identity` was asked for."""

from __future__ import annotations

import zlib

from subsecond.upstreams.http.exchange import Fields, Incoming, tokens

# Decoded bytes of one `take`: 100 KB of zeros in gzip are 100 MB.
PORTION = 1024 * 1024

_PLAIN = frozenset({b"", b"identity"})
_GZIP = frozenset({b"gzip", b"x-gzip"})
_RAW, _ZLIB, _WITH_HEADER = -zlib.MAX_WBITS, zlib.MAX_WBITS, zlib.MAX_WBITS | 16


class UnknownCoding(Exception):
    """The text is the coding's name."""


def decoded(incoming: Incoming) -> Incoming:
    """The same answer with its body decoded. UnknownCoding where it has a coding that Python's zlib does not know."""
    codings = [one for one in tokens(incoming.headers, b"content-encoding") if one not in _PLAIN]
    if not codings:
        return incoming
    if len(codings) > 1 or codings[0] not in {*_GZIP, b"deflate"}:
        raise UnknownCoding(b", ".join(codings).decode("latin-1")[:40])
    return _Inflated(incoming, gzip=codings[0] in _GZIP)


class _Inflated:
    """Whatever the bytes that came say is given out at once: no delta of a stream is held back."""

    def __init__(self, incoming: Incoming, *, gzip: bool) -> None:
        self.status = incoming.status
        self.headers: Fields = incoming.headers
        self.resent = incoming.resent
        self._incoming = incoming
        self._gzip = gzip
        self._head = b""  # less than what says how it is compressed
        self._rest = b""  # came, and is not decoded yet
        self._inflate: zlib._Decompress | None = None

    @property
    def complete(self) -> bool:
        return self._incoming.complete and not self._rest

    def take(self) -> bytes:
        """As Incoming's, at most PORTION. ConnectionError where the bytes are no such coding, or end within it."""
        data = self._head + self._rest + self._incoming.take()
        self._head = self._rest = b""
        if not data:
            if self._incoming.complete and self._inflate is not None and not self._inflate.eof:
                raise ConnectionError("the compressed answer broke off")
            return b""
        if len(data) == 1 and self._inflate is None and not self._incoming.complete:
            self._head = data
            return b""
        try:
            return self._unpacked(data)
        except zlib.error as error:
            raise ConnectionError("the answer is not compressed as it says") from error

    def _unpacked(self, data: bytes) -> bytes:
        if self._inflate is None or self._inflate.eof:  # gzip's members may follow each other
            self._inflate = zlib.decompressobj(_WITH_HEADER if self._gzip else _ZLIB if _has_header(data) else _RAW)
        found = self._inflate.decompress(data, PORTION)
        self._rest = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
        return found

    async def wait(self, until: float | None = None) -> None:
        if not self._rest:
            await self._incoming.wait(until)

    def finish(self) -> None:
        self._incoming.finish()

    def close(self) -> None:
        self._incoming.close()


def _has_header(data: bytes) -> bool:
    """Of zlib (RFC 1950, section 2.2), which `deflate` is to have and some servers leave out."""
    return data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2]) % 31 == 0
