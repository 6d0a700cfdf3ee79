"""Who may use the Invoke API. On AWS a signature decides; here it must be there, which no web page can bring about
without a preflight. Web pages themselves are refused before (`browser_guard`)."""

from __future__ import annotations

import re
from collections.abc import Collection

from subsecond_local.lambda_host.wire import Request

SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/")


def refusal(request: Request, access_keys: Collection[str]) -> str | None:
    """Why the request may invoke nothing; None when it may. Without access keys any signer's is taken."""
    signed = SIGNED.match(request.header("authorization") or "")
    if signed is None:
        return "The request is not signed, as the AWS SDKs do it."
    if access_keys and signed[1] not in access_keys:
        return "The access key is not the one of this host."
    return None
