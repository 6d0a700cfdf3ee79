"""Any OpenAI-compatible server, through the `openai` package's async client.

The package makes the request (address, headers, authorization) and names the errors; the body and the stream do not go
through its types. `client.post(..., cast_to=httpx2.Response)`, its documented way to send what it has no method for,
costs half of `chat.completions.create`, which walks the body against its types. Bytes then go from the transport
through one splitter: no object for each chunk.

The package takes half a second of CPU to import. That waits for the first call, or for `warm`, and happens in a
thread, so that the loop goes on. Not sooner: begun with the request, beside the lookups of its key and its answer, it
made a miss no quicker and a hit 1.4 times as slow, because both want the interpreter (docs/operations.md).
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from subsecond.aio.lazy import Lazy
from subsecond.aws.secrets import forget, parse, secret
from subsecond.config import Settings
from subsecond.errors import DeadlineExceeded, Unavailable, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from subsecond.model import Call
from subsecond.ports import Reply
from subsecond.resending import count
from subsecond.streaming.sse import Splitter

if TYPE_CHECKING:
    import httpx2
    import openai

    from subsecond.upstreams.http.transport import Body, Transport

PATHS = {"chat": "/chat/completions", "text": "/completions"}

# Statuses of a server that may answer in a moment. 429 is not among them: whoever counts the client's calls must hear.
RETRIED = frozenset({408, 500, 502, 503, 504, 529})
# Full jitter: each pause is anything up to this, in seconds, doubled for each attempt up to the cap.
BACKOFF = 0.2
BACKOFF_CAP = 2.0

# Statuses that speak of the key, which is ours.
OUR_KEY = frozenset({401, 403})

_DONE = b"[DONE]"
_encode = json.JSONEncoder(separators=(",", ":")).encode

T = TypeVar("T")


def build(settings: Settings) -> OpenAIUpstream:
    """ValueError when SUBSECOND_UPSTREAM_URL is no http address, or the secret's place is none. A missing address is
    told to those who need it: hits and `GET /health` do without."""
    if settings.upstream_url and not _is_address(settings.upstream_url):
        raise ValueError("SUBSECOND_UPSTREAM_URL is not like https://host/v1")  # unquoted: it may hold a password
    if settings.upstream_secret:
        _check_place(settings.upstream_secret)
    return OpenAIUpstream(settings)


def _check_place(reference: str) -> None:
    try:
        parse(reference)
    except ValueError:
        # Unquoted: whoever mistakes the two settings puts the key itself here.
        raise ValueError("SUBSECOND_UPSTREAM_SECRET is not like secretsmanager:NAME#FIELD or ssm:NAME") from None


def _is_address(text: str) -> bool:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return False
    extra = url.query or url.fragment or url.username or port == 0
    return url.scheme in {"http", "https"} and bool(url.hostname) and not extra


class OpenAIUpstream:
    """The port `Upstream`. One client and one pool of connections for the process; it belongs to one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = settings.upstream_url.rstrip("/")
        self._client: openai.AsyncOpenAI | None = None
        self._transport: Transport | None = None
        self._package = Lazy(_import_package)

    async def warm(self) -> None:
        """What the first call would pay for: the import, the client, a connection. Raises UpstreamError."""
        await self._load()
        import httpx2  # noqa: PLC0415 - loaded by now

        if self._transport is not None:
            try:
                await self._transport.open(self._settings.connect_timeout)
            except httpx2.TransportError as error:
                raise UpstreamUnreachable("The upstream could not be reached.") from error

    async def aclose(self) -> None:
        """Closes every connection."""
        if self._client is not None:
            await self._client.close()

    async def stream(self, call: Call) -> AsyncGenerator[bytes]:
        """See the port. A server that does not stream gives its whole JSON object as one payload."""
        body = {**call.body, "model": call.model, "stream": True, "stream_options": {"include_usage": True}}
        content = _encode(body).encode()
        await self._load()  # before the clock starts: the import is not the upstream's time
        clock = _Clock(self._settings, call.deadline)
        answer, payloads = await self._retrying(lambda: self._open(PATHS[call.endpoint], content, clock), clock)
        try:
            while True:
                began = clock.now()
                for payload in payloads:
                    if payload == _DONE:
                        answer.finish()
                        return
                    yield payload
                if answer.whole:
                    return
                clock.resume(began)
                payloads = await answer.next(clock)
        finally:
            answer.close()

    async def fetch(self, path: str, body: Mapping[str, Any] | None, deadline: float | None) -> Reply:
        """See the port. The whole reply is due within `first_token_timeout`."""
        content = None if body is None else _encode(dict(body)).encode()
        await self._load()
        clock = _Clock(self._settings, deadline)

        async def attempt() -> Reply:
            response = await _in_time(self._send(path, content, stream=False), clock)
            return Reply(response.status_code, response.headers.get("content-type", ""), response.content)

        return await self._retrying(attempt, clock)

    async def _open(self, path: str, content: bytes, clock: _Clock) -> tuple[_Answer, list[bytes]]:
        """One attempt, up to the first payloads."""
        answer = _Answer(await _in_time(self._send(path, content, stream=True), clock))
        try:
            return answer, await answer.first(clock)
        except UpstreamUnreachable as error:
            answer.close()
            raise _Passing(error) from error
        except BaseException:
            answer.close()
            raise

    async def _send(self, path: str, content: bytes | None, *, stream: bool) -> httpx2.Response:
        """A response with a good status; its body is read unless `stream`. Raises UpstreamError, _Passing."""
        client = self._sdk()
        import httpx2  # noqa: PLC0415 - loaded by now
        import openai  # noqa: PLC0415 - loaded by now

        url = self._url + path  # absolute, which saves the client joining it
        try:
            if content is None:
                return await client.get(url, cast_to=httpx2.Response)
            return await client.post(url, cast_to=httpx2.Response, content=content, stream=stream)
        except openai.APIStatusError as error:
            if error.status_code in OUR_KEY and self._settings.upstream_secret:
                forget(self._settings.upstream_secret)
            refusal = _refusal(error.status_code, error.response.headers.get("retry-after"), error.body)
            raise (_Passing(refusal, error.request) if error.status_code in RETRIED else refusal) from error
        except openai.APITimeoutError as error:
            seconds = self._settings.connect_timeout
            raise _Passing(UpstreamTimeout(f"The upstream took no connection within {seconds:g} s.")) from error
        except (openai.APIConnectionError, httpx2.RequestError) as error:  # the latter while an error's body is read
            raise _Passing(UpstreamUnreachable("The upstream could not be reached."), error.request) from error

    async def hang_up(self) -> None:
        """Close every connection; the next call opens a new one."""
        if self._transport is not None:
            await self._transport.aclose()

    async def _load(self) -> None:
        if self._url and self._client is None:
            await self._package.get()
        self._sdk()

    def _sdk(self) -> openai.AsyncOpenAI:
        if self._client is not None:
            return self._client
        if not self._url:
            raise Unavailable("No upstream is configured. Set SUBSECOND_UPSTREAM_URL to one, like https://host/v1.")
        import httpx2  # noqa: PLC0415 - see the module's docstring
        import openai  # noqa: PLC0415

        from subsecond.upstreams.http.transport import Client, Transport  # noqa: PLC0415

        settings = self._settings
        self._transport = Transport(httpx2.URL(self._url), settings.upstream_connections)
        self._client = openai.AsyncOpenAI(
            base_url=self._url,
            api_key=self._key,
            max_retries=0,
            timeout=httpx2.Timeout(None, connect=settings.connect_timeout),
            http_client=Client(self._transport),
        )
        return self._client

    async def _key(self) -> str:
        """Asked for each call, so that a rotated secret is found. Raises Unavailable."""
        if self._settings.upstream_secret:
            return await secret(self._settings.upstream_secret, self._settings.secret_max_age)
        return self._settings.upstream_key or "none"  # the client insists; a server that wants no key reads none

    async def _retrying(self, attempt: Callable[[], Awaitable[T]], clock: _Clock) -> T:
        """The attempt's result, tried again while it may help and the pause still fits."""
        failures = 0
        while True:
            try:
                clock.check()
                return await attempt()
            except _Passing as failure:
                pause = _pause(failures, failure.error.retry_after)
                failures += failure.sent
                if failures > self._settings.upstream_retries or pause is None or not clock.fits(pause):
                    raise failure.error from failure.__cause__
            await asyncio.sleep(pause)
            count()


def _import_package() -> bool:
    import openai  # noqa: F401, PLC0415

    import subsecond.upstreams.http.transport  # noqa: F401, PLC0415

    return True


class _Passing(Exception):
    """A failure that another attempt may not meet; `error` is what the client gets if it does. sent: how often the
    request went out; the transport may have sent it again, which is one of the retries."""

    def __init__(self, error: UpstreamError, request: httpx2.Request | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.sent = 2 if request and request.extensions.get("resent") else 1


class _Answer:
    """An answer that is coming in."""

    __slots__ = ("_body", "_parts", "_splitter", "whole")

    def __init__(self, response: httpx2.Response) -> None:
        self._body: Body = response.extensions["body"]
        self._splitter = Splitter()
        self._parts: list[bytes] = []
        self.whole = response.headers.get("content-type", "").startswith("application/json")

    def ready(self) -> list[bytes]:
        """The payloads that have come since; none: wait. UpstreamUnreachable when it ends without `[DONE]`."""
        try:
            data = self._body.take()
            if self.whole:
                return self._collected(data)
            payloads = self._splitter.feed(data) if data else []
        except (ConnectionError, ValueError) as error:
            raise UpstreamUnreachable("The upstream's answer broke off.") from error
        if not data and self._body.complete:
            raise UpstreamUnreachable("The upstream's answer broke off: it ended without [DONE].")
        return [payload for payload in payloads if payload]

    def _collected(self, data: bytes) -> list[bytes]:
        self._parts.append(data)
        if not self._body.complete:
            return []
        if not any(self._parts):
            raise ConnectionError("an empty body")
        return [b"".join(self._parts)]

    async def first(self, clock: _Clock) -> list[bytes]:
        payloads = await self._until(clock, clock.first)
        if payloads[0] == _DONE:
            raise UpstreamUnreachable("The upstream's answer ended before it began.")
        return payloads

    async def next(self, clock: _Clock) -> list[bytes]:
        return self.ready() or await self._until(clock, clock.next)

    async def _until(self, clock: _Clock, due: Callable[[], float]) -> list[bytes]:
        while not (payloads := self.ready()):
            until = due()
            try:
                await self._body.wait(until)
            except TimeoutError:
                raise clock.late(until) from None
        return payloads

    def finish(self) -> None:
        self._body.finish()

    def close(self) -> None:
        self._body.close()


class _Clock:
    """Until when, on the event loop's clock. `total` moves on while the stream's reader is busy with what it has."""

    __slots__ = ("_deadline", "_first", "_settings", "_total", "now")

    def __init__(self, settings: Settings, deadline: float | None) -> None:
        self.now = asyncio.get_running_loop().time
        begun = self.now()
        self._settings = settings
        self._deadline = float("inf") if deadline is None else begun + deadline - monotonic()
        self._first = begun + settings.first_token_timeout
        self._total = begun + settings.total_timeout

    def first(self) -> float:
        """When the first payload is due."""
        return min(self._first, self._total, self._deadline)

    def next(self) -> float:
        """When the next read is due."""
        return min(self.now() + self._settings.idle_timeout, self._total, self._deadline)

    def resume(self, paused: float) -> None:
        """The reader comes back; it has been busy since `paused`."""
        self._total += self.now() - paused
        self.check()

    def check(self) -> None:
        if self.now() >= self._deadline:
            raise self.late(self._deadline)

    def fits(self, pause: float) -> bool:
        return self.now() + pause < self.first()

    def late(self, until: float) -> UpstreamTimeout:
        """The error of the limit that fell on `until`."""
        if until >= self._deadline:
            return DeadlineExceeded("The time limit of this request is used up.")
        if until >= self._total:
            return UpstreamTimeout(f"The upstream took more than {self._settings.total_timeout:g} s in total.")
        if until == self._first:
            return UpstreamTimeout(f"The upstream gave no answer within {self._settings.first_token_timeout:g} s.")
        return UpstreamTimeout(f"The upstream gave nothing more for {self._settings.idle_timeout:g} s.")


async def _in_time(response: Awaitable[httpx2.Response], clock: _Clock) -> httpx2.Response:
    until = clock.first()
    try:
        async with asyncio.timeout_at(until):
            return await response
    except TimeoutError:
        raise clock.late(until) from None


def _pause(failures: int, retry_after: str | None) -> float | None:
    """Seconds until the next attempt; None when the server wants longer peace than a client would wait for."""
    pause = random.uniform(0, min(BACKOFF_CAP, BACKOFF * 2**failures))  # noqa: S311 - jitter, not a secret
    if retry_after is None:
        return pause
    if not retry_after.isdecimal() or int(retry_after) > BACKOFF_CAP:
        return None
    return max(pause, int(retry_after))


def _refusal(status: int, retry_after: str | None, body: object) -> UpstreamError:
    """What the client gets for an error status. `body`: the upstream's error object, or its text."""
    if status in OUR_KEY:
        # The key is ours, so the client can do nothing, and the upstream's text may quote the key.
        text = f"The upstream refuses this gateway's own key (HTTP {status}): see SUBSECOND_UPSTREAM_KEY."
        return UpstreamError(text, code="upstream_auth")
    if 400 <= status < 500:  # noqa: PLR2004 - the client's errors
        error = _completed(body)
        retry_after = retry_after if status == 429 else None  # noqa: PLR2004
        return UpstreamError(error["message"], status=status, error=error, retry_after=retry_after)
    retry_after = retry_after if status == 503 else None  # noqa: PLR2004
    return UpstreamError(f"The upstream failed with HTTP {status}.", retry_after=retry_after, code="upstream_failed")


def _completed(body: object) -> dict[str, Any]:
    """OpenAI's error object from whatever came: strings, or null in `param` and `code`; other fields are kept."""
    found = body if isinstance(body, dict) else {"message": body}
    message, kind, param, code = (found.get(name) for name in ("message", "type", "param", "code"))
    spoken = isinstance(message, str) and message and not message.startswith("<")  # a page is for a browser
    return {
        **found,
        "message": message if spoken else "The upstream refused the request.",
        "type": kind if isinstance(kind, str) else UpstreamError.kind,
        "param": param if isinstance(param, str) else None,
        "code": None if code is None else str(code),
    }
