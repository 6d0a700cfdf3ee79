"""Every error that a client can see, with its HTTP status and its place in OpenAI's error shape.

SubsecondError
  InvalidRequest        400   the request is malformed; `param` names the field
    TooLarge            413
    Compressed          415   the body has a content coding that is not read, or is gzip and no header says so
    ContextLengthExceeded 400 the model's window is too small, even after fitting; says by how much
  Unauthorized          401
  WebSocketRefused      426
  NotFound              404
    DialectNotSpoken    404   no upstream that may answer speaks the request's dialect
  NotCached             504   `only-if-cached` and nothing is (RFC 9111, section 5.2.1.7)
  Overloaded            429   too many calls run and wait already; `retry-after` says when to try again
  Unavailable           503   something of ours that must not fail open (the key store)
  UpstreamError         ...   the model's server refused: its status, body and retry-after
    UpstreamUnreachable 502   no answer
      UpstreamBrokeOff  502   one that ended before it was complete
    UpstreamTimeout     504   too late: connecting, first token, between tokens, in total
    DeadlineExceeded    504   `max_latency_ms` or the function's own time is used up
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from subsecond.model import Chunk, Endpoint, Headers


class SubsecondError(Exception):
    """`message` is for the client and says what to do; nothing secret goes into it."""

    status: int = 500
    kind: ClassVar[str] = "api_error"
    code: str | None = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or type(self).code
        self.retry_after: str | None = None
        # Of a routed request: which models were tried, for the header `x-subsecond-route`.
        self.route = ""

    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": error}


class InvalidRequest(SubsecondError):
    status = 400
    kind = "invalid_request_error"


class TooLarge(InvalidRequest):
    status = 413
    code = "request_too_large"


class Compressed(InvalidRequest):
    """RFC 9110, section 15.5.16."""

    status = 415
    code = "unsupported_encoding"

    def __init__(self, coding: str) -> None:
        # One sentence for both: a coding that is not read, and gzip of which no header speaks.
        remedy = "Send gzip with the header `Content-Encoding: gzip`, or the JSON itself."
        super().__init__(f"The body is compressed ({coding[:40]}). {remedy}")


class ContextLengthExceeded(InvalidRequest):
    """OpenAI's own code for it, so that clients which know that one act on ours."""

    code = "context_length_exceeded"

    def __init__(self, tokens: int, room: int, window: int, param: str) -> None:
        super().__init__(
            f"The request has about {tokens:,} tokens; the model's window of {window:,} has room for {max(0, room):,} "
            f"beside the answer. It is {tokens - room:,} too long, and what may be left out was left out.",
            param=param,
        )
        self.over = tokens - room


class Unauthorized(SubsecondError):
    status = 401
    kind = "authentication_error"
    code = "invalid_api_key"


class NotFound(SubsecondError):
    status = 404
    kind = "invalid_request_error"
    code = "not_found"


class DialectNotSpoken(NotFound):
    """No upstream that may answer speaks the request's dialect. The face adds what its client can do instead."""

    code = "api_not_served"

    def __init__(self, dialect: str, spoken: Iterable[Endpoint] = ("chat",)) -> None:
        """spoken: what the model, or its server, is said to speak."""
        super().__init__(f"{dialect} is not spoken by this gateway's upstream.")
        self.spoken = tuple(sorted(spoken))


class MethodNotAllowed(SubsecondError):
    status = 405
    kind = "invalid_request_error"
    code = "method_not_allowed"


class WebSocketRefused(SubsecondError):
    """The status on which Codex asks by POST at once; on others it tries several times, or gives up. Without the field
    `Upgrade` that RFC 9110 (section 15.5.22) has beside it: there is no protocol to change to."""

    status = 426
    kind = "invalid_request_error"
    code = "websocket_not_served"


class NotCached(SubsecondError):
    status = 504
    code = "not_cached"


class Overloaded(SubsecondError):
    """`seconds`: after which another try is worth it."""

    status = 429
    kind = "requests"
    code = "overloaded"

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many calls are running already. Try again in {seconds} s.")
        self.retry_after = str(seconds)


class Unavailable(SubsecondError):
    status = 503
    code = "unavailable"


class UpstreamError(SubsecondError):
    """The upstream answered with an error; `status` is the one that the client gets."""

    kind = "upstream_error"

    def __init__(
        self,
        message: str,
        *,
        status: int = 502,
        error: dict[str, Any] | None = None,
        retry_after: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.error = error
        self.retry_after = retry_after
        # The upstream's own, those that a client acts on.
        self.headers: Headers = ()
        # The event that said so, where the client's dialect has such events.
        self.said: Chunk | None = None

    def body(self) -> dict[str, Any]:
        """The upstream's own error object where it sent one, completed to OpenAI's four fields."""
        return {"error": {**super().body()["error"], **(self.error or {})}}


class UpstreamUnreachable(UpstreamError):
    code = "upstream_unreachable"


class UpstreamBrokeOff(UpstreamUnreachable):
    code = "upstream_broke_off"


class UpstreamTimeout(UpstreamError):
    code = "upstream_timeout"

    def __init__(self, message: str) -> None:
        super().__init__(message, status=504)


class DeadlineExceeded(UpstreamTimeout):
    code = "deadline_exceeded"
