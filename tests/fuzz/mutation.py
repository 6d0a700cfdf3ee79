"""Inputs that are nearly right: what real servers and clients send, with a few bytes changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

# What has broken readers before: numbers out of range, broken letters, line ends, deep nesting, odd framing.
TOKENS = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"\r", b"\n", b"\r\n\r\n", b"\n\n",
    b"data:", b"data: [DONE]\n\n", b"event: error\n", b"error:", b": ", b"null", b"true", b"NaN", b"-Infinity",
    b"1e999", b"-1", b"0", b"9" * 30, b"0.1", b"[]", b"{}", b'""', b"[" * 120, b'{"a":' * 110, b'"', b"\\", b",",
    b"content-length: 5\r\n", b"content-length: 7\r\n", b"transfer-encoding: chunked\r\n", b"0\r\n\r\n", b"ffffffffff",
    b"content-encoding: gzip\r\n", b"connection: close\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"%00", b"%ff", b"..",
)  # fmt: skip
MOST = 64 * 1024


@dataclass(frozen=True)
class Corpus:
    """Right inputs, and the pieces that may be put into them."""

    seeds: Sequence[bytes]
    tokens: Sequence[bytes] = TOKENS

    def draw(self, random: Random) -> bytes:
        """One of them with up to six changes; once in ten, as it is."""
        data = random.choice(self.seeds)
        for _ in range(random.choice((0, 1, 1, 1, 2, 2, 3, 4, 5, 6))):
            data = self._changed(data, random)
        return data[:MOST]

    def _changed(self, data: bytes, random: Random) -> bytes:
        at, end = sorted((random.randint(0, len(data)), random.randint(0, len(data))))
        end = min(end, at + random.choice((1, 4, 64, MOST)))
        changes = (
            lambda: data[:at] + data[end:],
            lambda: data[:at] + random.choice(self.tokens) + data[at:],
            lambda: data[:at] + random.choice(self.tokens) + data[end:],
            lambda: data[:at] + bytes((random.randrange(256),)) + data[at + 1 :],
            lambda: data[:end] + data[at:end] * random.choice((1, 2, 20)) + data[end:],
            lambda: data[:at] + (other := random.choice(self.seeds))[random.randint(0, len(other)) :],
        )
        return random.choice(changes)()


def pieces(data: bytes, random: Random) -> list[bytes]:
    """The same bytes, cut anywhere, as a network may."""
    cuts = sorted(random.randint(0, len(data)) for _ in range(random.choice((0, 1, 3, 20))))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
