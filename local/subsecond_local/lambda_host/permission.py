"""Who may use the Invoke API. On AWS a signature decides; here it must not be a web page that the user has open.

A page can send a request to loopback without asking (`no-cors`), but neither without `Origin` and with another method
than GET, nor with a header of its own choice, nor, when it has led its own name here, with our host.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from subsecond_local.lambda_host.wire import Request

SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def refusal(request: Request, access_keys: Collection[str]) -> str | None:
    """Why the request may invoke nothing; None when it may. Without access keys any signer's is taken."""
    if request.header("origin") is not None or _host(request) not in LOOPBACK:
        return "Programs of this machine alone may invoke functions."
    signed = SIGNED.match(request.header("authorization") or "")
    if signed is None:
        return "The request is not signed, as the AWS SDKs do it."
    if access_keys and signed[1] not in access_keys:
        return "The access key is not the one of this host."
    return None


def _host(request: Request) -> str | None:
    try:
        return urlsplit(f"//{request.header('host') or ''}").hostname
    except ValueError:
        return None
