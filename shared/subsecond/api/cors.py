"""Which web pages may call a plain server (CORS, in Fetch). A stack's Function URLs answer this themselves."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware

from subsecond.setting_values import origins

# As the template has it for the Function URLs; a test compares them.
METHODS = ("GET", "POST", "DELETE")
EXPOSED = ("age", "cache-status", "retry-after", "server-timing", "x-request-id", "x-subsecond-route")
MAX_AGE = 86_400


def allow(app: Starlette, cors_origins: str) -> None:
    """Pages of these origins may call the app and read what it answers. Never with cookies: access is by the key."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins(cors_origins),
        allow_methods=METHODS,
        allow_headers=("*",),
        expose_headers=EXPOSED,
        max_age=MAX_AGE,
        # Chrome asks before a public page calls a private address; who names the page here has said yes.
        allow_private_network=True,
    )
