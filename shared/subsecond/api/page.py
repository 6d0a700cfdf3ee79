"""`GET /dashboard`: a page that draws what the API says. It holds no data and needs no key; its user gives it one."""

from __future__ import annotations

import re
from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from starlette.responses import Response

from subsecond.api.request import RequestContext

FOLDER = Path(__file__).parents[1] / "page"
# What may stand in a header as it is.
ORIGIN = re.compile(r"https?://[\w.\-\[\]:]+")


def page(context: RequestContext) -> Response:
    """The same bytes for everybody, so a browser asks only whether they have changed."""
    content, headers = _made(context.gateway.settings.public_url)
    if context.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="text/html", headers=headers)


@lru_cache(maxsize=4)
def _made(base_url: str) -> tuple[bytes, dict[str, str]]:
    """The page and its headers. base_url: of the function that answers, where the page comes from another one."""
    found = ORIGIN.match(base_url)
    base = found[0] if found else ""
    style, script, text = (_read(f"page.{kind}") for kind in ("css", "js", "html"))
    for name, value in (("base", base), ("style", style), ("script", script)):
        text = text.replace(f"{{{{{name}}}}}", value, 1)
    content = text.encode()
    headers = {
        "cache-control": "no-cache",
        "content-security-policy": _policy(style, script, base),
        "cross-origin-opener-policy": "same-origin",
        "etag": f'"{sha256(content).hexdigest()[:32]}"',
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
    return content, headers


def _policy(style: str, script: str, base: str) -> str:
    """Nothing from elsewhere, nothing inline but the two texts that these hashes name, and no text that becomes markup
    (Trusted Types): what a stranger's question says stays text."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hashed(script)}",
            f"style-src {_hashed(style)}",
            f"connect-src 'self' {base}".strip(),
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _hashed(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
