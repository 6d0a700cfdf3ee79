"""Bedrock's errors in OpenAI's words, whether they come with a status or inside an event stream."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from subsecond.errors import UpstreamError
from subsecond.streaming.events import parsed
from subsecond.upstreams.http.exchange import Fields
from subsecond.upstreams.http.response_headers import kept_headers

# Each exception's status, `type` and `code` for the client. Three have another status with AWS: ModelNotReady's 429
# speaks of no quota, ModelError's 424 says nothing to OpenAI's clients, ServiceQuotaExceeded's 400 of no mistake.
ERRORS: Final[Mapping[str, tuple[int, str, str | None]]] = {
    "ThrottlingException": (429, "requests", "rate_limit_exceeded"),
    "TooManyRequestsException": (429, "requests", "rate_limit_exceeded"),
    "ServiceQuotaExceededException": (429, "insufficient_quota", "insufficient_quota"),
    "ValidationException": (400, "invalid_request_error", None),
    "ResourceNotFoundException": (404, "invalid_request_error", "model_not_found"),
    "ModelTimeoutException": (408, "server_error", "model_timeout"),
    "ModelNotReadyException": (503, "server_error", "model_not_ready"),
    "ModelErrorException": (502, "server_error", "model_error"),
    "ModelStreamErrorException": (502, "server_error", "model_error"),
    "InternalServerException": (500, "server_error", None),
    "InternalFailure": (500, "server_error", None),
    "ServiceUnavailableException": (503, "server_error", "service_unavailable"),
    "ServiceUnavailable": (503, "server_error", "service_unavailable"),
}
# What speaks of the gateway's own role: the client can do nothing, and the text names account and role.
OURS: Final = frozenset({
    "AccessDeniedException", "AccessDenied", "UnrecognizedClientException", "InvalidSignatureException",
    "SignatureDoesNotMatch", "IncompleteSignatureException", "MissingAuthenticationTokenException",
    "MissingAuthenticationToken", "ExpiredTokenException", "ExpiredToken", "InvalidClientTokenId", "OptInRequired",
    "NotAuthorized",
})  # fmt: skip
# Seconds after which a throttled call is worth another try: Bedrock seldom says it, and its quotas are of a minute.
RETRY_AFTER: Final = "1"
_PASSING: Final = frozenset({429, 503})

_TOO_LONG = re.compile(
    r"too long|too many (?:input )?tokens|(?:context|input) (?:length|window)|maximum (?:number of )?tokens",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(r"model identifier is invalid|model id.{0,80}not (?:found|supported)", re.IGNORECASE)

log = logging.getLogger("subsecond")


def bedrock_refusal(status: int, fields: Fields, body: bytes, secret: bytes) -> UpstreamError | None:
    """What the client gets for an error status; None where AWS's marks are missing, as from the OpenAI-compatible
    endpoint's models, whose errors are OpenAI's already."""
    said = parsed(body)
    said = said if isinstance(said, dict) else {}
    name = next((value.decode("latin-1") for key, value in fields if key == b"x-amzn-errortype"), "")
    name = name or str(said.get("__type") or "")
    if not name:
        return None
    error = failure(name, str(said.get("message") or said.get("Message") or ""), status)
    error.headers = kept_headers(fields, secret)
    told = dict(error.headers).get(b"retry-after")
    error.retry_after = told.decode("latin-1") if told else error.retry_after
    return error


def failure(name: str, message: str, status: int = 502) -> UpstreamError:
    """name: the exception's, with whatever AWS puts around it. status: for one that is not known."""
    name = name.partition(":")[0].rpartition("#")[2]
    name = name[:1].upper() + name[1:]  # events write `throttlingException`
    if name in OURS:
        log.warning("Bedrock refuses this gateway's role: %s: %s", name, message[:500])
        text = (
            f"Bedrock refuses this gateway's own role ({name}): may it invoke this model, and has the account access?"
        )
        return UpstreamError(text, code="upstream_auth")
    status, kind, code = ERRORS.get(name, (status, "upstream_error", None))
    if name == "ValidationException" and _TOO_LONG.search(message):
        code = "context_length_exceeded"
    elif name == "ValidationException" and _NO_MODEL.search(message):
        status, code = 404, "model_not_found"
    elif name == "ThrottlingException" and "token" in message.lower():
        kind = "tokens"
    text = message or f"Bedrock failed ({name[:60]})."
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("Bedrock failed with %s: %s", name, " ".join(text[:300].split()))
    told: dict[str, Any] = {"message": text, "type": kind, "param": None, "code": code}
    return UpstreamError(text, status=status, error=told, retry_after=RETRY_AFTER if status in _PASSING else None)
