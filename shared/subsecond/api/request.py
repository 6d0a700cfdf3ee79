"""One request as the face sees it: its trace, its token, its body, its client."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any, TypeVar

from starlette.requests import Request

from subsecond.api.headers import bearer
from subsecond.api.wire import parse
from subsecond.errors import Compressed, InvalidRequest, SubsecondError, TooLarge, Unauthorized
from subsecond.model import Headers, Tenant
from subsecond.pipeline import Gateway
from subsecond.stages.authenticate import Claim, claim
from subsecond.stats.trace import Step, Trace

# zlib's window bits for each content coding that a body may have. Python has no Zstandard before 3.14, and a package
# for it would weigh on every cold start.
ZLIB = {"gzip": 31, "x-gzip": 31, "deflate": 15}
CODINGS = {"", "identity", *ZLIB}
# gzip's data may have several members, one behind the other (RFC 1952, section 2.2): a tool that works on blocks of 64
# KB makes 96 of the largest body. Each takes a copy of what follows, which is 30 ms for the most.
MEMBERS = 128

T = TypeVar("T")


class RequestContext:
    """Made when a request arrives. `headers` are looked up in lower case."""

    def __init__(self, request: Request, gateway: Gateway) -> None:
        self._arrived = monotonic()
        # Told by the Lambda adapters: when the function's own time ends, monotonic seconds.
        self._end: float | None = request.scope.get("aws.deadline")
        # On Lambda the environment takes no other request before the writes are done, so nobody need wait for them. The
        # server of a plain process would: whoever asks again on the same connection finds what was stored.
        self.ends_early = "aws.context" in request.scope
        self.trace = Trace()
        self.gateway = gateway
        self.headers: Mapping[str, str] = request.headers
        # Of the model in the path, where there is one.
        self.name: str = request.path_params.get("name", "")
        query = request.scope["query_string"].decode("latin-1")
        self.query_string = f"?{query}" if query else ""
        # The body's bytes, once it was read.
        self.raw = b""
        self._request = request
        self._left = False
        # To begin in the loop's next turn, or begun.
        self._watch: asyncio.Handle | asyncio.Task[None] | None = None

    @property
    def query(self) -> Mapping[str, str]:
        return self._request.query_params

    async def authenticate(self) -> Tenant:
        return await self.gateway.authenticate(self._token(), self.trace)

    async def claimed(self, plan: Callable[[dict[str, Any]], T]) -> tuple[Claim, T]:
        """Who asks, as far as is known, and what, by `plan`. Whose key is refused is told nothing of the body."""
        found = await claim(self.gateway.keys, self._token(), self.trace)
        try:
            return found, plan(await self.body())
        except SubsecondError:
            await found.confirmed(self.trace)
            raise

    def _token(self) -> str | None:
        """From `Authorization`, or from where Anthropic's clients put it."""
        given = self.headers.get("authorization", "").strip()
        token = bearer(given)
        if given and token is None:
            raise Unauthorized("`Authorization` must be `Bearer KEY`: the word Bearer, a blank, and the API key.")
        return token or self.headers.get("x-api-key", "").strip() or None

    async def body(self) -> dict[str, Any]:
        """The request's JSON object; its bytes are `raw` then. Raises InvalidRequest, TooLarge, Compressed."""
        sent = await self.content()
        with self.trace.step(Step.PARSE):
            return parse(sent)

    async def content(self) -> bytes:
        """The body's bytes, `raw` from then on, without a content coding. Raises as `body`."""
        coding = self.headers.get("content-encoding", "").strip().lower()
        if coding not in CODINGS:
            raise Compressed(coding)
        limit = self.gateway.settings.max_body
        declared = self.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:18]) > limit:
            raise _too_large(limit)
        parts: list[bytes] = []
        size = 0
        async for part in self._request.stream():
            parts.append(part)
            size += len(part)
            if size > limit:
                raise _too_large(limit)
        sent = b"".join(parts)
        del parts
        if coding in ZLIB:
            with self.trace.step(Step.PARSE):
                sent = inflated(sent, coding, limit)
        self.raw = sent
        return sent

    def deadline(self, budget_ms: float | None) -> float | None:
        """When the answer is due, on the monotonic clock: when the latency budget ends, or the function's time."""
        if budget_ms is None:
            return self._end
        budget = self._arrived + budget_ms / 1000
        return budget if self._end is None else min(budget, self._end)

    @property
    def cache_control(self) -> str:
        """All lines of it: several are one list (RFC 9110, section 5.3)."""
        return ", ".join(self._request.headers.getlist("cache-control"))

    def passed_on(self, names: Iterable[str]) -> Headers:
        """Of the request's headers those of these names, as they go on the wire. Several lines of one are one list
        (RFC 9110, section 5.3)."""
        lines = self._request.headers.getlist
        found = ((name, ", ".join(filter(None, lines(name)))) for name in names)
        return tuple((name.encode(), value.encode("latin-1")) for name, value in found if value)

    def flag(self, name: str) -> bool:
        """Whether the header says yes."""
        return self.headers.get(name, "").lower() in ("1", "true", "yes")

    def watch(self) -> None:
        """From here on, a client that hangs up ends the current task. Not before the body was read: both `receive`.
        A hit from memory is told before the loop's next turn: a task that watches for nothing took 8 % of it."""
        self._watch = asyncio.get_running_loop().call_soon(self._begin_to_watch, asyncio.current_task())

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

    def _begin_to_watch(self, task: asyncio.Task[Any] | None) -> None:
        self._watch = asyncio.create_task(self._until_left(task))

    async def _until_left(self, task: asyncio.Task[Any] | None) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._left = True
        if task:
            task.cancel()


def inflated(data: bytes, coding: str, limit: int) -> bytes:
    """The body without its content coding; never more than `limit` bytes are made of it. Raises InvalidRequest."""
    plain = bytearray()
    for _ in range(MEMBERS):
        engine = zlib.decompressobj(ZLIB[coding])
        try:
            plain += engine.decompress(data, limit + 1 - len(plain))
        except zlib.error:
            told = f"The body is not {coding}, as Content-Encoding says."
            raise InvalidRequest(told, code="invalid_encoding") from None
        if len(plain) > limit:
            raise _too_large(limit)
        if not engine.eof:
            raise InvalidRequest(f"The body's {coding} data breaks off.", code="invalid_encoding")
        if not (data := engine.unused_data):
            return bytes(plain)
    raise InvalidRequest(f"The body's {coding} data has more than {MEMBERS} members.", code="invalid_encoding")


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than {limit:,} bytes, which is what a function can be sent.")
