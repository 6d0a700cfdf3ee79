"""Of an upstream's response headers, those that a client acts on, checked once so that nobody else must."""

from __future__ import annotations

import re

from subsecond.model import Headers
from subsecond.upstreams.http.exchange import Fields

# Under which name it is passed on. The gateway's own request id has the name of the upstream's.
_NAMES = {
    b"retry-after": b"retry-after",
    b"retry-after-ms": b"retry-after-ms",
    b"x-should-retry": b"x-should-retry",
    b"x-request-id": b"x-upstream-request-id",
    b"x-amzn-requestid": b"x-upstream-request-id",
    b"request-id": b"x-upstream-request-id",
    b"openai-processing-ms": b"openai-processing-ms",
}
# OpenAI's, and Anthropic's.
_LIMITS = (b"x-ratelimit-", b"anthropic-ratelimit-")
# Bytes of a value, and headers of an answer: an honest server's are far below.
MAX_VALUE, MAX_HEADERS = 256, 32

# Printable in latin-1, as a header's value is read. A line break would end the header, a control character the reply.
_PRINTABLE = re.compile(rb"[\x20-\x7e\xa0-\xff]{1,%d}" % MAX_VALUE)
_NAME = re.compile(rb"[a-z0-9-]{1,64}")
_NUMBER = rb"[0-9]{1,10}(?:\.[0-9]{1,6})?"
# RFC 9110, section 10.2.3: seconds, or a date; OpenAI's clients read a fraction, too.
_SHAPES = {
    b"retry-after": re.compile(
        _NUMBER + rb"|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
    ),
    b"retry-after-ms": re.compile(_NUMBER),
    b"openai-processing-ms": re.compile(_NUMBER),
    b"x-should-retry": re.compile(rb"true|false"),
}


def kept_headers(fields: Fields, secret: bytes = b"") -> Headers:
    """Each name once, the first value of it; what is malformed or holds our own key is left out."""
    found: dict[bytes, bytes] = {}
    for name, value in fields:
        told = name if name.startswith(_LIMITS) and _NAME.fullmatch(name) else _NAMES.get(name)
        if told is None or told in found or len(found) == MAX_HEADERS:
            continue
        if secret and secret in value:
            continue
        if _PRINTABLE.fullmatch(value) and (name not in _SHAPES or _SHAPES[name].fullmatch(value)):
            found[told] = value
    return tuple(found.items())


def content_type(fields: Fields) -> str:
    """As it was sent; "" where there is none that could be passed on."""
    for name, value in fields:
        if name == b"content-type":
            return value.decode("latin-1") if _PRINTABLE.fullmatch(value) else ""
    return ""
