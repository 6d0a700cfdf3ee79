"""Function URLs, payload format 2.0: an HTTP request as an event, a result as an HTTP response. Pure."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from subsecond_local.lambda_host.wire import Headers, Request

# AWS: 6 MB for an event and for a buffered result, 200 MB for a streamed one.
EVENT_LIMIT = 6 * 1024 * 1024
STREAM_LIMIT = 200 * 1024 * 1024
DELIMITER = bytes(8)
STREAM_TYPE = "application/vnd.awslambda.http-integration-response"
# Headers of one connection, and those that the host writes itself.
NOT_PASSED = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "expect"})
REMAPPED = "x-amzn-remapped-content-length"
ERROR_BODY = b'{"Message":"Internal Server Error"}'


@dataclass(frozen=True, slots=True)
class ResponseHead:
    status: int
    headers: Headers


def trace_id(request_id: str) -> str:
    """An X-Ray trace header's root, made of the request's UUID."""
    digits = request_id.replace("-", "")
    return f"Root=1-{digits[:8]}-{digits[8:]}"


def url_event(request: Request, body: bytes, request_id: str, url_id: str) -> dict[str, Any]:
    """The event of a Function URL whose first label is `url_id`."""
    raw_path, _, query = request.target.partition("?")
    headers = {**_request_headers(request), "x-amzn-trace-id": trace_id(request_id)}
    now = datetime.now(UTC)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": raw_path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": url_id,
            "domainName": headers.get("host", ""),
            "domainPrefix": url_id,
            "http": {
                "method": request.method,
                "path": raw_path,
                "protocol": f"HTTP/{request.version}",
                "sourceIp": request.peer,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(now.timestamp() * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies := [cookie for name, value in request.headers if name == "cookie" for cookie in value.split("; ")]:
        event["cookies"] = cookies
    if query:
        event["queryStringParameters"] = _joined(parse_qsl(query, keep_blank_values=True))
    if body:
        event["body"], event["isBase64Encoded"] = _event_body(body, headers.get("content-type", ""))
    return event


def _request_headers(request: Request) -> dict[str, str]:
    passed = [pair for pair in request.headers if pair[0] not in NOT_PASSED and pair[0] != "cookie"]
    host = request.header("host") or ""
    forwarded = {
        "x-forwarded-for": request.peer,
        "x-forwarded-proto": "http",
        "x-forwarded-port": host.rpartition(":")[2] if ":" in host else "80",
    }
    return {**_joined(passed), **forwarded}


def _joined(pairs: Headers) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _event_body(body: bytes, content_type: str) -> tuple[str, bool]:
    """Text stays text where the type says so; everything else, and text that is none, is base64."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind in {"application/json", "application/javascript", "application/xml"}:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return b64encode(body).decode(), True


def stream_head(prelude: bytes) -> ResponseHead:
    """Status and headers from a streamed response's prelude. ValueError when it is none.

    AWS renames a content-length, so the body's end is the response's end, which the function must not delay.
    """
    fields = json.loads(prelude)
    if not isinstance(fields, dict):
        raise TypeError("the prelude is no object")
    head = _head(fields, "application/octet-stream")
    return ResponseHead(
        head.status, [(REMAPPED if name.lower() == "content-length" else name, value) for name, value in head.headers]
    )


def buffered_response(payload: bytes) -> tuple[ResponseHead, bytes]:
    """A buffered result as the URL shows it: an object with `statusCode`, or any other JSON as the body itself.

    ValueError or TypeError when it is neither, which AWS answers with 502.
    """
    result = json.loads(payload)
    if not isinstance(result, dict) or "statusCode" not in result:
        return ResponseHead(200, [("Content-Type", "application/json")]), payload
    text = result.get("body")
    if not isinstance(text, str | None):
        raise TypeError("the body is no string")
    text = text or ""
    body = b64decode(text, validate=True) if result.get("isBase64Encoded") else text.encode()
    return _head(result, "application/json"), body


def _head(fields: Mapping[str, Any], content_type: str) -> ResponseHead:
    given = fields.get("headers")
    if not isinstance(given, dict | None):
        raise TypeError("the headers are no object")
    headers = [(name, str(value)) for name, value in (given or {}).items() if name.lower() not in NOT_PASSED]
    if all(name.lower() != "content-type" for name, _ in headers):
        headers.append(("Content-Type", content_type))
    headers += [("Set-Cookie", str(cookie)) for cookie in fields.get("cookies") or ()]
    return ResponseHead(int(fields.get("statusCode", 200)), headers)
