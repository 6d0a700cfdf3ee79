"""An HTTP request's event as an ASGI scope and body: a Function URL's or an HTTP API's (payload format 2.0), or a REST
API's (1.0), which is what brings a domain of one's own and a firewall. Pure."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlencode


def is_http(event: object) -> bool:
    """Whether an event is a request; schedules and other callers send what they like."""
    return isinstance(event, dict) and ("http" in (event.get("requestContext") or {}) or _is_first_format(event))


def _is_first_format(event: Mapping[str, Any]) -> bool:
    return isinstance(event.get("httpMethod"), str) and isinstance(event.get("path"), str)


def http_scope(event: Mapping[str, Any]) -> dict[str, Any]:
    """The ASGI connection scope, without deadline, event and context, which are the handler's to add."""
    read = _first_format if _is_first_format(event) else _second_format
    method, path, query, client, headers = read(event)
    return {
        "type": "http",
        # From 2.4 on an app need not listen for a disconnect that Lambda never tells.
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method.upper(),
        "scheme": headers.get("x-forwarded-proto", "https"),
        "path": unquote(path),
        "raw_path": path.encode("latin-1", "replace"),
        "query_string": query.encode("latin-1", "replace"),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()],
        "client": (client, 0),
        "server": ((event.get("requestContext") or {}).get("domainName", ""), 443),
        "extensions": {},
    }


# Method, path, query string, the client's address, headers.
_Read = tuple[str, str, str, str, dict[str, str]]


def _second_format(event: Mapping[str, Any]) -> _Read:
    http = event["requestContext"]["http"]
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    if event.get("cookies"):
        headers["cookie"] = "; ".join(event["cookies"])
    path = event.get("rawPath") or "/"
    return http["method"], path, event.get("rawQueryString") or "", http.get("sourceIp", ""), headers


def _first_format(event: Mapping[str, Any]) -> _Read:
    """Every value is in a list; the query's are decoded."""
    identity = (event.get("requestContext") or {}).get("identity") or {}
    headers = {name.lower(): ", ".join(values) for name, values in (event.get("multiValueHeaders") or {}).items()}
    query = urlencode(event.get("multiValueQueryStringParameters") or {}, doseq=True)
    return event["httpMethod"], event["path"] or "/", query, identity.get("sourceIp", ""), headers


def http_body(event: Mapping[str, Any]) -> bytes:
    """The request's body. ValueError when it is not the base64 that it says it is."""
    body = event.get("body") or ""
    return b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
