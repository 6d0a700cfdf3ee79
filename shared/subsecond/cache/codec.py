"""An answer as bytes for the stores: compressed, versioned, checked when it is read back."""

from __future__ import annotations

import json
import zlib

from subsecond.model import Answer

VERSION = b"1"
# A stored answer can claim any length; nothing that we store is larger than this when unpacked.
UNPACKED_LIMIT = 64 * 1024 * 1024
# Level 1 takes a third of level 6's time and gives up a few percent of size on chat JSON.
LEVEL = 1


def pack(answer: Answer) -> bytes:
    head = json.dumps({"pieces": answer.pieces, "finish": answer.finish, "model": answer.model}, separators=(",", ":"))
    return VERSION + zlib.compress(head.encode() + b"\n" + answer.body, LEVEL)


def unpack(blob: bytes) -> Answer:
    """The answer, or ValueError when the bytes are of another version, cut or damaged."""
    if blob[:1] != VERSION:
        raise ValueError("a stored answer of another version")
    engine = zlib.decompressobj()
    try:
        plain = engine.decompress(blob[1:], UNPACKED_LIMIT)
    except zlib.error as error:
        raise ValueError(f"a damaged stored answer: {error}") from None
    if not engine.eof:
        raise ValueError("a stored answer that is cut or too large")
    line, _, body = plain.partition(b"\n")
    head = json.loads(line)
    return Answer(body, tuple(head["pieces"]), head["finish"], head["model"])
