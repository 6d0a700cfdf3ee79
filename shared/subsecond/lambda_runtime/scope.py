"""A Function URL's event (payload format 2.0) as an ASGI scope and body. Pure."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote


def is_http(event: object) -> bool:
    """Whether an event is a Function URL's request; schedules and other callers send what they like."""
    return isinstance(event, dict) and "http" in (event.get("requestContext") or {})


def http_scope(event: Mapping[str, Any]) -> dict[str, Any]:
    """The ASGI connection scope, without deadline, event and context, which are the handler's to add."""
    request = event["requestContext"]
    path = event.get("rawPath") or "/"
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    if event.get("cookies"):
        headers["cookie"] = "; ".join(event["cookies"])
    return {
        "type": "http",
        # From 2.4 on an app need not listen for a disconnect that Lambda never tells.
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request["http"]["method"].upper(),
        "scheme": headers.get("x-forwarded-proto", "https"),
        "path": unquote(path),
        "raw_path": path.encode("latin-1", "replace"),
        "query_string": (event.get("rawQueryString") or "").encode("latin-1", "replace"),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()],
        "client": (request["http"].get("sourceIp", ""), 0),
        "server": (request.get("domainName", ""), 443),
        "extensions": {},
    }


def http_body(event: Mapping[str, Any]) -> bytes:
    """The request's body. ValueError when it is not the base64 that it says it is."""
    body = event.get("body") or ""
    return b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
