"""One rule for whatever listens on this machine beside the gateway: web pages may use nothing of it.

A browser lets every page send requests to loopback and keeps only the answers from it, so a page that guesses a port
could write keys, delete tables and run code. It cannot hide that it is a page: what it sends bears `Origin`, or is a
GET and bears `Sec-Fetch-Site` (Fetch Metadata), or, when it has led a name of its own here, bears that name as `Host`.
Programs of this machine send none of these. Nothing here asks for more than the standard library: the guarded ministack
of `make deploy-local` runs where this project is not installed.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

# The last is Docker's name for this machine, for `sam local invoke`. A page cannot take it: only Docker resolves it.
LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "host.docker.internal")
HTTP_PORT = 80
# The close code of a policy's violation (RFC 6455, 7.4.1).
VIOLATION = 1008

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
# Why a request is refused, from its ASGI scope; None when it is not.
RefusalRule = Callable[[Message], str | None]


def refusal(method: str, headers: Iterable[tuple[str, str]], port: int) -> str | None:
    """Why a request is none of a program of this machine; None when it is. Header names in lower case.

    port: where it arrived, which `Host` must name too, unless it is the one that goes without saying.
    """
    if method == "OPTIONS":
        return "Preflights are refused: no web page may ask here."
    hosts = []
    for name, value in headers:
        if name == "origin" or (name == "sec-fetch-site" and value.strip().lower() != "none"):
            return "Web pages may ask nothing here, only programs of this machine."
        if name == "host":
            hosts.append(value.strip().lower())
    ours = {f"{name}:{port}" for name in LOOPBACK} | (set(LOOPBACK) if port == HTTP_PORT else set())
    # Of two hosts one server would take the first and another the last.
    return None if len(hosts) == 1 and hosts[0] in ours else "The request names another host than this machine."


def body(reason: str) -> bytes:
    """The refusal's body, in the shape of AWS's and of OpenAI's errors at once."""
    return json.dumps({"message": reason, "error": {"message": reason, "code": "refused_here"}}).encode()


def from_page(scope: Message) -> str | None:
    """`refusal` of an ASGI request."""
    headers = ((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"])
    return refusal(scope.get("method", "GET"), headers, scope["server"][1])


class Guard:
    """An ASGI app in front of another one, which sees no request that a rule refuses. Web sockets are all refused."""

    def __init__(self, app: App, *more: RefusalRule) -> None:
        """more: rules of this service alone, which come after the one for web pages."""
        self._app = app
        self._rules = (from_page, *more)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": VIOLATION})
            return
        rules = self._rules if scope["type"] == "http" else ()
        reason = next(filter(None, (rule(scope) for rule in rules)), None)
        if reason is None:
            await self._app(scope, receive, send)
            return
        told = body(reason)
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(told))]
        await send({"type": "http.response.start", "status": 403, "headers": head})
        await send({"type": "http.response.body", "body": told})
