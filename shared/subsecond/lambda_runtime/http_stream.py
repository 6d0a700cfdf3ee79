"""What a streaming handler returns, and its bytes on the wire (no I/O here).

The response is one chunked POST to the Runtime API: a JSON prelude with status, headers and cookies, eight NULs, the
body's chunks, and trailers when the body broke off.
"""

from __future__ import annotations

import json
import traceback
from base64 import b64encode
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

CONTENT_TYPE = "application/vnd.awslambda.http-integration-response"
DELIMITER = bytes(8)
# Trailers are header lines: libraries in the way commonly allow 8 to 16 kB for all of them together.
ERROR_CHARACTERS = 2_000
ERROR_FRAMES = 5


@dataclass(frozen=True, slots=True)
class HttpStream:
    """An HTTP response whose body is still being made.

    chunks: each is sent at once, as one HTTP chunk; empty ones are skipped. An exception out of it ends the response
    with error trailers. `aclose` is called, where there is one.
    loop: where asynchronous chunks are made; without one the runtime client uses a loop of its own.
    after: awaited when the response has ended, and before the next event is asked for: until then the environment is
    not frozen, and no client waits.
    """

    status: int
    headers: Mapping[str, str]
    cookies: Sequence[str] = ()
    chunks: AsyncIterable[bytes] | Iterable[bytes] = ()
    loop: AbstractEventLoop | None = None
    after: Callable[[], Awaitable[None]] | None = None


def request_head(host: str, invoke_id: str, invocation_id: str | None) -> bytes:
    """The POST's request line and headers. `invocation_id` is echoed when the Runtime API gave one."""
    lines = [
        f"POST /2018-06-01/runtime/invocation/{invoke_id}/response HTTP/1.1",
        f"Host: {host}",
        "Connection: close",
        f"Content-Type: {CONTENT_TYPE}",
        "Lambda-Runtime-Function-Response-Mode: streaming",
        "Transfer-Encoding: chunked",
        "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
    ]
    if invocation_id:
        lines.append(f"Lambda-Runtime-Invocation-Id: {invocation_id}")
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1")


def prelude(stream: HttpStream) -> bytes:
    """Status, headers and cookies as JSON, and the eight NULs (JSON has none: it escapes them)."""
    head = {"statusCode": stream.status, "headers": dict(stream.headers), "cookies": list(stream.cookies)}
    return json.dumps(head, separators=(",", ":")).encode() + DELIMITER


def frame(data: bytes) -> bytes:
    """One HTTP chunk. `data` must not be empty: an empty chunk would end the response."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def ending(error: BaseException | None) -> bytes:
    """The last chunk; with an error, the trailers that make the invocation a failed one."""
    if error is None:
        return b"0\r\n\r\n"
    report = {
        "errorMessage": str(error)[:ERROR_CHARACTERS],
        "errorType": type(error).__name__,
        "stackTrace": traceback.format_tb(error.__traceback__)[-ERROR_FRAMES:],
    }
    kind = type(error).__name__.encode("ascii", "replace")
    body = b64encode(json.dumps(report).encode())
    trailers = b"Lambda-Runtime-Function-Error-Type: %b\r\nLambda-Runtime-Function-Error-Body: %b\r\n"
    return b"0\r\n" + trailers % (kind, body) + b"\r\n"
