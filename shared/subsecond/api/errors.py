"""Any failure as OpenAI's error object, with the headers that clients act on."""

from __future__ import annotations

import json
import logging
import traceback
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from subsecond.dialects.chat import DIALECT as CHAT
from subsecond.dialects.dialect import Dialect
from subsecond.dialects.lookup import dialect_of
from subsecond.errors import MethodNotAllowed, NotFound, SubsecondError, UpstreamError, WebSocketRefused
from subsecond.stats.trace import Trace

log = logging.getLogger("subsecond")

SERVED = (
    "POST /v1/chat/completions, /v1/responses, /v1/messages, /v1/messages/count_tokens, /v1/completions, "
    "/v1/completions/stream, /v1/completions/batch, /v1/embeddings, /v1/moderations, /v1/images/..., /v1/audio/..., "
    "/v1/cache/explain, /v1/cache/feedback, /v1/cache/invalidate; "
    "GET /v1/models, /v1/models/NAME, /v1/cache/stats, /v1/cache/explain, /dashboard, /health"
)
# What an upstream keeps, by the first part of the path: it belongs to all who share its key, tenants or not.
SHARED = frozenset(
    {
        "assistants", "batches", "containers", "conversations", "evals", "files", "fine_tuning", "threads", "uploads",
        "vector_stores",
    }
)  # fmt: skip
# What stands where a response's id does, and is not served: no id has another method there.
NO_IDS = frozenset({"/v1/responses/compact", "/v1/responses/input_tokens"})
# Of the path that an error repeats.
LONGEST_PATH = 200


def error_response(error: SubsecondError, request_id: str, dialect: Dialect = CHAT) -> Response:
    """The failure in the words of the dialect."""
    headers = {"x-request-id": request_id, dialect.request_id: request_id}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    if error.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        headers["accept-encoding"] = "gzip, identity"  # what a request may use instead (RFC 9110, section 12.5.3)
    if error.retry_after is not None:
        headers["retry-after"] = error.retry_after
    if error.route:
        headers["x-subsecond-route"] = error.route
    body = json.dumps(dialect.error_body(error.body(), error.status, request_id))
    response = Response(body, error.status, headers, media_type="application/json")
    for name, value in error.headers if isinstance(error, UpstreamError) else ():
        if name.decode("latin-1") not in headers:
            response.raw_headers.append((name, value))
    return response


def unexpected(error: BaseException, request_id: str) -> SubsecondError:
    """A fault of ours: told apart in the log by the request's id, and without details to the client."""
    where = "".join(traceback.format_tb(error.__traceback__))
    # Without the message: it may quote the request.
    log.error("unexpected %s\n%s", type(error).__name__, where, extra={"request_id": request_id})
    return SubsecondError(
        f"Something in Subsecond failed. Its log tells more under {request_id}.", code="internal_error"
    )


def _base_url(request: Request) -> str:
    """What to do where the path lacks `/v1`, or has it twice; "" where it is another mistake."""
    path = request.url.path
    meant = path.removeprefix("/v1") if path.startswith("/v1/v1/") else f"/v1{path}"
    scope = {**request.scope, "path": meant}
    if all(route.matches(scope)[0] is Match.NONE for route in request.app.routes):
        return ""
    where = "end before /v1, which Anthropic's clients add" if _is_of_messages(request) else "end in /v1, once"
    return f"{meant[:LONGEST_PATH]} is: let the client's base URL {where}."


def _is_of_messages(request: Request) -> bool:
    """Whether one of Anthropic's clients asks: they send their version with everything."""
    return "anthropic-version" in request.headers or "/messages" in request.url.path


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405, which never reach a route of ours."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    asked, request_id = f"{request.method} {request.url.path[:LONGEST_PATH]}", Trace().request_id
    dialect = dialect_of("messages" if _is_of_messages(request) else "chat")
    if request.url.path.removeprefix("/v1/").partition("/")[0] in SHARED:
        told = "An upstream's files, batches and the like belong to all who share its key. Ask the upstream itself."
        return error_response(NotFound(f"{asked} is not served. {told}", code="shared_objects"), request_id, dialect)
    if status != HTTPStatus.METHOD_NOT_ALLOWED or request.url.path in NO_IDS:
        remedy = _base_url(request) or f"Served are {SERVED}."
        return error_response(NotFound(f"{asked} is not served. {remedy}"), request_id, dialect)
    if "sec-websocket-key" in request.headers:  # `Upgrade` itself may stop at a front
        no_socket = WebSocketRefused(
            f"{asked}: there are no web sockets here. A POST is answered by a stream of events."
        )
        return error_response(no_socket, request_id, dialect)
    refused = MethodNotAllowed(f"{asked}: this path has another method. Served are {SERVED}.")
    response = error_response(refused, request_id, dialect)
    allowed = (getattr(error, "headers", None) or {}).get("Allow", "GET, POST")
    response.headers["allow"] = ", ".join(sorted(allowed.split(", ")))  # Starlette's comes from a set
    return response
