"""A recording as bytes for the stores: compressed, versioned, checked when it is read back.

The version, then one zlib stream: a line of JSON (the head), the text, and the payloads one after another. The text has
its own bytes and not a string in the head, which could not hold a lone surrogate but as an escape, and would make six
bytes of each sign of Chinese.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from subsecond.model import Recording

VERSION = b"3"
# A stored answer can claim any length; nothing that we store is larger than this when unpacked.
UNPACKED_LIMIT = 64 * 1024 * 1024
# Level 1 takes a third of level 6's time and gives up a few percent of size on chat JSON.
LEVEL = 1
# What a head that was not written by `pack` can raise.
UNREADABLE = (KeyError, TypeError, ValueError, RecursionError)


def pack(recording: Recording) -> bytes:
    """`unpack` reads it back."""
    text = recording.text.encode("utf-8", "surrogatepass")
    head = {
        "form": recording.form,
        "finish": recording.finish,
        "model": recording.model,
        "by": recording.by,
        "usage": recording.usage,
        "acts": recording.acts,
        "text": len(text),
        "payloads": [len(payload) for payload in recording.payloads],
    }
    line = json.dumps(head, separators=(",", ":")).encode()
    return VERSION + zlib.compress(b"".join((line, b"\n", text, *recording.payloads)), LEVEL)


def unpack(blob: bytes) -> Recording:
    """The recording, or ValueError when the bytes are of another version, cut or damaged. Every store that reads one
    takes that for a miss: an answer that cannot be read is as good as none."""
    if blob[:1] != VERSION:
        raise ValueError("a stored answer of another version")
    line, _, rest = _plain(blob[1:]).partition(b"\n")
    try:
        return _recording(json.loads(line), rest)
    except UNREADABLE as error:
        raise ValueError(f"a damaged stored answer: {type(error).__name__}") from None


def _plain(compressed: bytes) -> bytes:
    engine = zlib.decompressobj()
    try:
        plain = engine.decompress(compressed, UNPACKED_LIMIT)
    except zlib.error as error:
        raise ValueError(f"a damaged stored answer: {error}") from None
    if not engine.eof or engine.unused_data:
        raise ValueError("a stored answer that is cut, too large or followed by something else")
    return plain


def _recording(head: dict[str, Any], rest: bytes) -> Recording:
    at = head["text"]
    text, payloads = rest[:at].decode("utf-8", "surrogatepass"), []
    for length in head["payloads"]:
        payloads.append(rest[at : at + length])
        at += length
    if at != len(rest) or head["form"] not in ("whole", "stream"):
        raise ValueError
    return Recording(
        head["form"],
        tuple(payloads),
        head["finish"],
        head["model"],
        head["usage"],
        text=text,
        acts=head["acts"],
        by=head.get("by", ""),  # an answer that was stored before there was a `by` is none the worse
    )
