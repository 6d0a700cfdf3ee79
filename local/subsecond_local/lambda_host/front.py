"""The listener: Function URLs of all functions behind one base URL, and the Invoke API."""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from subsecond_local.lambda_host.function import UrlRoute
from subsecond_local.lambda_host.invocation import (
    AbandonedError,
    Collected,
    FunctionError,
    Invocation,
    ThrottledError,
    UrlStream,
)
from subsecond_local.lambda_host.permission import refusal
from subsecond_local.lambda_host.pool import Pool
from subsecond_local.lambda_host.url_event import ERROR_BODY, EVENT_LIMIT, buffered_response, url_event
from subsecond_local.lambda_host.wire import Headers, HttpConnection, Request, Responder
from subsecond_local.run import browser_guard

log = logging.getLogger("subsecond.lambda")

INVOKE = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")
JSON = ("Content-Type", "application/json")
DENIED = ("x-amzn-ErrorType", "AccessDeniedException")
TOO_LARGE = b'{"Message":"Request must be smaller than %d bytes"}' % EVENT_LIMIT

Spawn = Callable[[Coroutine[Any, Any, object]], None]


class FrontConnection(HttpConnection):
    """A client's connection: its requests one after the other, each read whole."""

    def __init__(self, serve: Callable[[Request, bytes | None, FrontConnection], None]) -> None:
        self._serve = serve
        self._reading: Request | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._queue: deque[tuple[Request, bytes | None]] = deque()
        self._busy = False
        self.invocation: Invocation | None = None

    def begun(self, request: Request) -> None:
        self._reading, self._body, self._size = request, [], 0
        if (request.header("expect") or "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def received(self, data: bytes) -> None:
        """A body past the limit is read to its end and dropped, so that the client can read its 413."""
        self._size += len(data)
        if self._size <= EVENT_LIMIT:
            self._body.append(data)
        else:
            self._body.clear()

    def ended(self, _trailers: Headers) -> None:
        assert self._reading is not None
        body = b"".join(self._body) if self._size <= EVENT_LIMIT else None
        self._queue.append((self._reading, body))
        self._serve_next()

    def lost(self) -> None:
        """What waits is dropped. A function that runs is not told: its response is read to the end, and dropped."""
        self._queue.clear()
        if self.invocation is not None:
            self.invocation.abandon()
            self.invocation.pace(go=True)

    def writable(self, *, yes: bool) -> None:
        if self.invocation is not None:
            self.invocation.pace(go=yes)

    def finished(self, *, keep_alive: bool) -> None:
        """The client has its response."""
        if self.invocation is not None:
            self.invocation.pace(go=True)
            self.invocation = None
        self._busy = False
        if keep_alive:
            self._serve_next()
        else:
            self.transport.close()

    def _serve_next(self) -> None:
        if self._queue and not self._busy:
            self._busy = True
            self._serve(*self._queue.popleft(), self)


class Front:
    """Answers requests. `pools` by function name; `spawn` runs a coroutine beside; `access_keys` may invoke."""

    def __init__(
        self, pools: Mapping[str, Pool], routes: Sequence[UrlRoute], spawn: Spawn, access_keys: Collection[str]
    ) -> None:
        self._pools = pools
        self._routes = routes
        self._spawn = spawn
        self._access_keys = access_keys

    def connection(self) -> FrontConnection:
        return FrontConnection(lambda request, body, connection: self._spawn(self._answer(request, body, connection)))

    async def _answer(self, request: Request, body: bytes | None, connection: FrontConnection) -> None:
        responder = Responder(connection, request, str(uuid.uuid4()), connection.finished)
        try:
            invoked = INVOKE.fullmatch(request.path)
            name = None if invoked else self._routed(request.path)
            if body is None:
                responder.send(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, [JSON], TOO_LARGE)
            elif name is not None:
                # The gateway itself: its key decides, and a page may have one.
                await self._serve_url(name, request, body, responder, connection)
            elif reason := connection.page_refusal(request):
                responder.send(HTTPStatus.FORBIDDEN, [JSON, DENIED], browser_guard.body(reason))
            elif invoked:
                await self._invoke(invoked[1], request, body, responder, connection)
            else:
                responder.send(HTTPStatus.NOT_FOUND, [JSON], b'{"Message":"no function serves this path"}')
        except ThrottledError:
            headers = [JSON, ("x-amzn-ErrorType", "TooManyRequestsException")]
            responder.send(HTTPStatus.TOO_MANY_REQUESTS, headers, b'{"Message":"Rate Exceeded."}')
        except AbandonedError:
            pass
        finally:
            # Only after an error of the host itself is there anything left to end.
            responder.cut()

    def _routed(self, path: str) -> str | None:
        """The name of the function whose URL has this path."""
        return next((route.function for route in self._routes if route.leads(path)), None)

    async def _serve_url(
        self, name: str, request: Request, body: bytes, responder: Responder, connection: FrontConnection
    ) -> None:
        pool = self._pools[name]
        # As UTF-8, so that no text grows by a multiple on its way, as escapes would.
        event = json.dumps(url_event(request, body, responder.request_id, name), ensure_ascii=False).encode()
        if len(event) > EVENT_LIMIT:
            responder.send(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, [JSON], TOO_LARGE)
            return
        collected = None if pool.function.mode == "RESPONSE_STREAM" else Collected()
        invocation = Invocation(event, collected or UrlStream(responder), responder.request_id)
        connection.invocation = invocation
        error = await pool.invoke(invocation)
        if error is not None:
            _end_badly(responder, error)
        elif collected is not None:
            _send_buffered(responder, collected.payload)
        else:
            responder.finish()

    async def _invoke(
        self, name: str, request: Request, body: bytes, responder: Responder, connection: FrontConnection
    ) -> None:
        """The Invoke API of the AWS SDKs. `name` may be an ARN."""
        pool = self._pools.get(unquote(name).rpartition(":")[2])
        if request.method != "POST":
            responder.send(HTTPStatus.METHOD_NOT_ALLOWED, [JSON, ("Allow", "POST")], b'{"Message":"POST invokes"}')
        elif reason := refusal(request, self._access_keys):
            responder.send(HTTPStatus.FORBIDDEN, [JSON, DENIED], json.dumps({"Message": reason}).encode())
        elif pool is None:
            headers = [JSON, ("x-amzn-ErrorType", "ResourceNotFoundException")]
            responder.send(HTTPStatus.NOT_FOUND, headers, b'{"Type":"User","Message":"Function not found"}')
        elif request.header("x-amz-invocation-type") == "Event":
            self._spawn(pool.call(body or b"{}"))
            responder.send(HTTPStatus.ACCEPTED, [JSON], b"")
        else:
            collected = Collected()
            connection.invocation = Invocation(body or b"{}", collected, responder.request_id)
            error = await pool.invoke(connection.invocation)
            headers = [JSON, ("X-Amz-Executed-Version", "$LATEST")]
            headers += [("X-Amz-Function-Error", "Unhandled")] if error else []
            responder.send(HTTPStatus.OK, headers, error.payload if error else collected.payload)


def _end_badly(responder: Responder, error: FunctionError) -> None:
    if not responder.started:
        responder.send(HTTPStatus.BAD_GATEWAY, [JSON], ERROR_BODY)
    elif error.cut:
        responder.cut()
    else:
        # The runtime reported its error behind the body; a URL's client sees the body's end, nothing more.
        responder.finish()


def _send_buffered(responder: Responder, payload: bytes) -> None:
    try:
        head, body = buffered_response(payload)
    except (ValueError, TypeError) as error:
        log.error("The result is no HTTP response: %s", error)  # noqa: TRY400 - the traceback is the host's, not the function's
        responder.send(HTTPStatus.BAD_GATEWAY, [JSON], ERROR_BODY)
        return
    headers = [(name, value) for name, value in head.headers if name.lower() != "content-length"]
    responder.send(head.status, headers, body)
