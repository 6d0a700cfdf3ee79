"""One request as the face sees it: its trace, its token, its body, its client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from time import monotonic
from typing import Any

from starlette.requests import Request

from subsecond.api.headers import bearer
from subsecond.api.wire import parse
from subsecond.errors import Compressed, SubsecondError, TooLarge, Unauthorized
from subsecond.model import Tenant
from subsecond.pipeline import Gateway
from subsecond.stats.trace import Step, Trace


class Exchange:
    """Made when a request arrives. `headers` are looked up in lower case."""

    def __init__(self, request: Request, gateway: Gateway) -> None:
        self._arrived = monotonic()
        # Told by the Lambda adapters: when the function's own time ends, monotonic seconds.
        self._end: float | None = request.scope.get("aws.deadline")
        self.trace = Trace()
        self.gateway = gateway
        self.headers: Mapping[str, str] = request.headers
        self.query: Mapping[str, str] = request.query_params
        # Of the model in the path, where there is one.
        self.name: str = request.path_params.get("name", "")
        self._request = request
        self._left = False
        self._watch: asyncio.Task[None] | None = None

    async def authenticate(self) -> Tenant:
        given = self.headers.get("authorization", "").strip()
        token = bearer(given)
        if given and token is None:
            raise Unauthorized("`Authorization` must be `Bearer KEY`: the word Bearer, a blank, and the API key.")
        return await self.gateway.authenticate(token, self.trace)

    async def body(self) -> dict[str, Any]:
        """The request's JSON object. Raises InvalidRequest, TooLarge, Compressed."""
        coding = self.headers.get("content-encoding", "").strip().lower()
        if coding not in ("", "identity"):
            raise Compressed(coding)
        limit = self.gateway.settings.max_body
        refusal = TooLarge(f"The body is larger than {limit:,} bytes, which is what a function can be sent.")
        declared = self.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:18]) > limit:
            raise refusal
        raw = bytearray()
        async for part in self._request.stream():
            raw += part
            if len(raw) > limit:
                raise refusal
        with self.trace.step(Step.PARSE):
            return parse(bytes(raw))

    def deadline(self, budget_ms: float | None) -> float | None:
        """When the answer is due, on the monotonic clock: when the latency budget ends, or the function's time."""
        if budget_ms is None:
            return self._end
        budget = self._arrived + budget_ms / 1000
        return budget if self._end is None else min(budget, self._end)

    def flag(self, name: str) -> bool:
        """Whether the header says yes."""
        return self.headers.get(name, "").lower() in ("1", "true", "yes")

    def watch(self) -> None:
        """From here on, a client that hangs up ends the current task. Not before the body was read: both `receive`."""
        task = asyncio.current_task()
        self._watch = asyncio.create_task(self._until_left(task))

    def settle(self) -> None:
        """The client has all that it asked for: its leaving ends nothing any more."""
        if self._watch:
            self._watch.cancel()
            self._watch = None

    @property
    def left(self) -> bool:
        """The client has hung up before it was settled."""
        return self._left

    async def refused(self, error: BaseException) -> None:
        """Record a request that never reached the pipeline; the pipeline records its own."""
        if self.trace.total is None:
            self.trace.fail(error)
            await self.gateway.record(self.trace)

    async def _until_left(self, task: asyncio.Task[Any] | None) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._left = True
        if task:
            task.cancel()


def error_event(error: SubsecondError) -> bytes:
    """A failure after the first byte: the status is sent, so it is told as a `data:` line. No `[DONE]` follows."""
    return b"data: " + json.dumps(error.body(), separators=(",", ":")).encode() + b"\n\n"
