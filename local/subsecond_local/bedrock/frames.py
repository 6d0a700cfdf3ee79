"""AWS's event stream (application/vnd.amazon.eventstream) as a server writes it; botocore has the reader alone."""

from __future__ import annotations

import struct
from binascii import crc32
from collections.abc import Mapping

_STRING = 7
_AROUND = 16  # bytes of a message beside headers and payload


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message: lengths and their CRC, headers, payload, the CRC of all."""
    fields = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack("!II", len(fields) + len(payload) + _AROUND, len(fields))
    message = prelude + struct.pack("!I", crc32(prelude)) + fields + payload
    return message + struct.pack("!I", crc32(message))


def event(kind: str, payload: bytes) -> bytes:
    return frame({":event-type": kind, ":content-type": "application/json", ":message-type": "event"}, payload)


def exception(kind: str, payload: bytes) -> bytes:
    return frame({":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}, payload)


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return struct.pack("!B", len(key)) + key + struct.pack("!BH", _STRING, len(text)) + text
