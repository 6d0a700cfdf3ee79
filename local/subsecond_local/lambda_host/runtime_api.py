"""The Runtime API, version 2018-06-01, as one environment's runtime client sees it."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

from subsecond_local.lambda_host.invocation import FunctionError, Invocation
from subsecond_local.lambda_host.url_event import trace_id
from subsecond_local.lambda_host.wire import Headers, HttpConnection, Request
from subsecond_local.run import browser_guard

BASE = "/2018-06-01/runtime"
INVOCATION = re.compile(BASE + "/invocation/([^/]+)/(response|error)")


class Runtime(Protocol):
    """The environment, as its API's connections see it."""

    def asked_next(self, connection: RuntimeConnection) -> None:
        """The runtime is ready for an event."""

    def running(self, invocation_id: str, proof: str | None) -> Invocation | None:
        """The invocation, if it is the one that runs and is still unanswered."""

    def failed_to_start(self, error: FunctionError) -> None:
        """The initialisation, or the restoring of a snapshot, reported an error."""


class RuntimeConnection(HttpConnection):
    """One connection of the runtime client."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._body: list[bytes] = []
        # The invocation whose response is coming in.
        self._answering: Invocation | None = None
        self._take: Callable[[bytes], None] = self._body.append
        self._finish: Callable[[Headers], None] = self._not_found

    def deliver(self, invocation: Invocation, arn: str, deadline_ms: int) -> None:
        """Answer the pending `next`."""
        headers: Headers = [
            ("Content-Type", "application/json"),
            ("Lambda-Runtime-Aws-Request-Id", invocation.id),
            ("Lambda-Runtime-Invocation-Id", invocation.proof),
            ("Lambda-Runtime-Deadline-Ms", str(deadline_ms)),
            ("Lambda-Runtime-Invoked-Function-Arn", arn),
            ("Lambda-Runtime-Trace-Id", f"{trace_id(invocation.id)};Sampled=0"),
        ]
        self.respond(HTTPStatus.OK, invocation.event, headers)

    def begun(self, request: Request) -> None:
        self._body = []
        self._take = self._body.append
        if reason := self.page_refusal(request):
            self._refuse(reason)
            return
        found = INVOCATION.fullmatch(request.path)
        if found:
            invocation = self._runtime.running(found[1], request.header("lambda-runtime-invocation-id"))
            self._begin_answer(request, invocation, is_error=found[2] == "error")
        else:
            endpoints = {
                f"{BASE}/invocation/next": lambda _: self._runtime.asked_next(self),
                f"{BASE}/restore/next": lambda _: self.respond(HTTPStatus.OK),
                f"{BASE}/init/error": self._failed_to_start,
                f"{BASE}/restore/error": self._failed_to_start,
            }
            self._finish = endpoints.get(request.path, self._not_found)

    def received(self, data: bytes) -> None:
        self._take(data)

    def ended(self, trailers: Headers) -> None:
        self._finish(trailers)

    def lost(self) -> None:
        """A response that stops in the middle is one that was cut."""
        if self._answering is not None:
            self._answering.end(FunctionError.of("Runtime.TruncatedResponse", "the response broke off", cut=True))

    def _refuse(self, reason: str) -> None:
        """A page's: even a picture's address would take the next event away."""
        headers = [("Content-Type", "application/json")]
        self._take = _discard
        self._finish = lambda _: self.respond(HTTPStatus.FORBIDDEN, browser_guard.body(reason), headers)

    def _begin_answer(self, request: Request, invocation: Invocation | None, *, is_error: bool) -> None:
        if invocation is None:
            self._take, self._finish = _discard, lambda _: self.respond(HTTPStatus.GONE, b'{"errorType":"Gone"}')
            return
        if is_error:
            self._finish = lambda _: self._answered(invocation, FunctionError(b"".join(self._body)))
            return
        self._answering, invocation.sender = invocation, self.transport
        streamed = request.header("lambda-runtime-function-response-mode") == "streaming"
        invocation.sink.open(request.header("content-type") or "", streamed=streamed)
        self._take = lambda data: self._pass_on(invocation, data)
        self._finish = lambda trailers: self._answered(invocation, _trailing_error(trailers))

    def _pass_on(self, invocation: Invocation, data: bytes) -> None:
        if complaint := invocation.sink.write(data):
            invocation.end(FunctionError.of("Function.ResponseSizeTooLarge", complaint, cut=True))
            self._take, self._finish = _discard, lambda _: self.respond(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def _answered(self, invocation: Invocation, error: FunctionError | None) -> None:
        self._answering = None
        invocation.end(error)
        self.respond(HTTPStatus.ACCEPTED, b'{"status":"OK"}')

    def _failed_to_start(self, _trailers: Headers) -> None:
        self._runtime.failed_to_start(FunctionError(b"".join(self._body)))
        self.respond(HTTPStatus.ACCEPTED)

    def _not_found(self, _trailers: Headers) -> None:
        self.respond(HTTPStatus.NOT_FOUND)


def _discard(_data: bytes) -> None:
    """Read to the end, so that the runtime client is not reset while it writes."""


def _trailing_error(trailers: Headers) -> FunctionError | None:
    found = dict(trailers)
    if "lambda-runtime-function-error-type" not in found:
        return None
    return FunctionError(base64.b64decode(found.get("lambda-runtime-function-error-body", "")))
