"""The cache's words on the wire: HTTP's own (RFC 9111, RFC 9211, W3C Server-Timing) wherever HTTP has one."""

from __future__ import annotations

import re

from subsecond.errors import InvalidRequest
from subsecond.model import CacheRules, Head
from subsecond.stats.trace import Trace

# The argument may come as a token or quoted (RFC 9111, section 5.2).
_DIRECTIVE = re.compile(r'([a-z-]+)(?:\s*=\s*"?([^",]*)"?)?', re.IGNORECASE)


def cache_rules(cache_control: str, *, use_cache: bool) -> CacheRules:
    """What the request allows. `no-cache` asks anew and stores; `no-store` stores nothing, but may be served a hit;
    `use_cache: false` (the body's word) does neither. Unknown directives are ignored (RFC 9111, section 5.2.3)."""
    words = {name.lower(): value.strip() for name, value in _DIRECTIVE.findall(cache_control)}
    return CacheRules(
        read=use_cache and "no-cache" not in words,
        write=use_cache and "no-store" not in words,
        max_age=_seconds(words["max-age"]) if "max-age" in words else None,
        only_if_cached="only-if-cached" in words,
    )


def _seconds(text: str) -> float:
    if not text.isdecimal():
        raise InvalidRequest(f"Cache-Control: max-age={text!r} is not a number of seconds.", param="Cache-Control")
    # A value that is too large to represent counts as infinite (section 1.2.2).
    return float(min(int(text[:12]), 2**31))


def cache_status(head: Head, *, asked: bool, joined: bool = False, retreated: bool = False) -> str:
    """What the Cache-Status header says (RFC 9211). asked: the cache was allowed to answer. joined: the call was in
    flight already, for another request. retreated: a similar question's answer was not served, because too many were
    found wrong. An age beside an upstream's answer: parts of it are from the cache."""
    if head.source == "upstream" and head.age is not None:
        return "subsecond; fwd=partial"
    if joined and head.source == "upstream":
        return "subsecond; fwd=miss; collapsed"
    if head.source == "upstream" and retreated:
        return "subsecond; fwd=miss; detail=exact-only"
    if head.source == "upstream":
        return "subsecond; fwd=miss" if asked else "subsecond; fwd=bypass"
    # The key names the entry, to explain, report or invalidate it.
    key = f'key="{head.entry}"; ' if head.entry else ""
    return f"subsecond; hit; ttl={int(head.ttl or 0)}; {key}detail={head.source}"


def response_headers(head: Head, trace: Trace, request_id: str = "x-request-id") -> list[tuple[bytes, bytes]]:
    """request_id: the header in which the dialect's clients look for it, beside ours."""
    joined = trace.source == "coalesced"
    status = cache_status(head, asked=trace.cacheable, joined=joined, retreated=trace.retreated)
    headers = [
        *((name.encode(), trace.request_id.encode()) for name in dict.fromkeys(("x-request-id", request_id))),
        (b"cache-status", status.encode()),
        (b"server-timing", trace.server_timing().encode()),
    ]
    if head.route:
        headers.append((b"x-subsecond-route", head.route.encode()))
    if head.age is not None:
        headers.append((b"age", str(int(head.age)).encode()))
    headers.extend(head.headers)
    return headers


def bearer(authorization: str | None) -> str | None:
    """The token of `Authorization: Bearer TOKEN`; the scheme in any case (RFC 9110, section 11.1)."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
