"""Any OpenAI-compatible server, straight on our own transport: no client library between a call and its bytes.

What needs one (a proxy from the environment, HTTP/2) has `openai_package`; both read answers alike.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote, urlsplit

from subsecond.aio.lazy import Lazy
from subsecond.aws.secrets import forget, parse, secret
from subsecond.config import Settings
from subsecond.errors import Unavailable, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from subsecond.model import Call
from subsecond.ports import EventStream, Reply
from subsecond.resending import count
from subsecond.upstreams.http.content_coding import UnknownCoding, decoded
from subsecond.upstreams.http.exchange import ConnectTimeout, Incoming, SendFailed
from subsecond.upstreams.reading import read_answer, read_at_most, read_reply
from subsecond.upstreams.refusals import MAX_ERROR, hidden, refusal
from subsecond.upstreams.request_body import UsageRefusals, adds_usage, names_it, request_body
from subsecond.upstreams.retrying import RETRIED, Passing, retrying
from subsecond.upstreams.time_limits import Clock

if TYPE_CHECKING:
    from subsecond.upstreams.http.transport import Transport

PATHS = {"chat": "/chat/completions", "text": "/completions"}

# Paths whose request heads are kept ready.
_MAX_HEADS = 16

T = TypeVar("T")
# Takes what is not to be quoted: see `hidden`.
Reader = Callable[[Incoming, bytes], Awaitable[T]]

_encode = json.JSONEncoder(separators=(",", ":")).encode

log = logging.getLogger("subsecond")


def build(settings: Settings) -> OpenAIUpstream:
    """See `checked`."""
    return OpenAIUpstream(settings, Wire(checked(settings)))


def checked(settings: Settings) -> Settings:
    """ValueError when SUBSECOND_UPSTREAM_URL is no http address, or the secret's place is none. A missing address is
    told to those who need it: hits and `GET /health` do without."""
    if settings.upstream_url and not _is_address(settings.upstream_url):
        raise ValueError("SUBSECOND_UPSTREAM_URL is not like https://host/v1")  # unquoted: it may hold a password
    if settings.upstream_secret:
        try:
            parse(settings.upstream_secret)
        except ValueError:
            # Unquoted: whoever mistakes the two settings puts the key itself here.
            raise ValueError("SUBSECOND_UPSTREAM_SECRET is not like secretsmanager:NAME#FIELD or ssm:NAME") from None
    return settings


def _is_address(text: str) -> bool:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return False
    extra = url.query or url.fragment or url.username or port == 0
    return url.scheme in {"http", "https"} and bool(url.hostname) and not extra


class Sender(Protocol):
    """What is below an adapter: requests out, answers in."""

    async def load(self) -> None:
        """What the first request would wait for, without a connection."""

    async def open(self) -> None:
        """A connection for a request to come. SendFailed where there is none to be had."""

    async def send(self, path: str, content: bytes | None, key: str, until: float) -> Incoming:
        """POST, or GET without content. The answer, its head read. TimeoutError at `until`, SendFailed."""

    async def hang_up(self) -> None:
        """Close every connection; the next request opens a new one."""


class OpenAIUpstream:
    """The port `Upstream`. One pool of connections for the process; it belongs to one event loop."""

    def __init__(self, settings: Settings, sender: Sender) -> None:
        self._settings = settings
        self._sender = sender
        self._host = urlsplit(settings.upstream_url).netloc
        self._refusing = UsageRefusals()

    async def ask(self, call: Call) -> Reply | EventStream:
        """See the port."""
        await self._load()  # before the clock starts: that is not the upstream's time
        clock = Clock(self._settings, call.deadline)
        usage = adds_usage(call) and call.model not in self._refusing
        try:
            return await self._asked(call, clock, usage=usage)
        except UpstreamError as error:
            if not usage or not names_it(error):
                raise
        count()
        answer = await self._asked(call, clock, usage=False)
        self._refusing.add(call.model)
        return answer

    async def fetch(self, path: str, body: Mapping[str, Any] | None, deadline: float | None) -> Reply:
        """See the port. The whole reply is due within `first_token_timeout`."""
        content = None if body is None else _encode(dict(body)).encode()
        await self._load()
        clock = Clock(self._settings, deadline)

        async def read(incoming: Incoming, secret: bytes) -> Reply:
            return await read_reply(incoming, clock, secret, [])

        return await self._retrying(path, content, clock, read)

    async def warm(self) -> None:
        """What the first call would pay for: the imports, a connection. Raises UpstreamError."""
        await self._load()
        try:
            await self._sender.open()
        except SendFailed as error:
            raise self._unreachable(error) from error

    async def hang_up(self) -> None:
        """Close every connection; the next call opens a new one."""
        await self._sender.hang_up()

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._sender.hang_up()

    async def _load(self) -> None:
        if not self._settings.upstream_url:
            raise Unavailable("No upstream is configured. Set SUBSECOND_UPSTREAM_URL to one, like https://host/v1.")
        await self._sender.load()

    async def _asked(self, call: Call, clock: Clock, *, usage: bool) -> Reply | EventStream:
        async def read(incoming: Incoming, secret: bytes) -> Reply | EventStream:
            return await read_answer(incoming, clock, secret)

        return await self._retrying(PATHS[call.endpoint], request_body(call, usage=usage), clock, read)

    async def _retrying(self, path: str, content: bytes | None, clock: Clock, read: Reader[T]) -> T:
        try:
            return await retrying(
                lambda: self._attempt(path, content, clock, read), clock, self._settings.upstream_retries
            )
        except UpstreamUnreachable as error:
            log.warning("no answer from the upstream %s: %s", self._host, error.__cause__ or error)
            raise

    async def _attempt(self, path: str, content: bytes | None, clock: Clock, read: Reader[T]) -> T:
        key = await self._key()
        incoming = await self._send(path, content, key, clock)
        try:
            if 200 <= incoming.status < 300:  # noqa: PLR2004 - an answer
                return await read(incoming, hidden(key))
            said = await read_at_most(incoming, clock, MAX_ERROR)
        except UpstreamUnreachable as broken:
            incoming.close()
            raise Passing(broken, 1 + incoming.resent) from broken.__cause__
        except BaseException:
            incoming.close()
            raise
        incoming.close()
        error = refusal(incoming.status, incoming.headers, said, hidden(key))
        if error.code == "upstream_auth" and self._settings.upstream_secret:
            forget(self._settings.upstream_secret)
        raise Passing(error, 1 + incoming.resent) if incoming.status in RETRIED else error

    async def _send(self, path: str, content: bytes | None, key: str, clock: Clock) -> Incoming:
        """Its head is read; its body comes decoded."""
        until = clock.next()
        try:
            incoming = await self._sender.send(path, content, key, until)
        except TimeoutError:
            raise clock.late(until) from None
        except SendFailed as failure:
            raise Passing(self._unreachable(failure), failure.sent) from failure
        try:
            return decoded(incoming)
        except UnknownCoding as coding:
            incoming.close()
            text = f"The upstream's answer is compressed ({coding}), which it was asked not to do."
            raise UpstreamError(text, code="upstream_encoding") from None

    def _unreachable(self, failure: SendFailed) -> UpstreamError:
        if isinstance(failure, ConnectTimeout):
            seconds = self._settings.connect_timeout
            return UpstreamTimeout(f"The upstream took no connection within {seconds:g} s.")
        return UpstreamUnreachable("The upstream could not be reached.")

    async def _key(self) -> str:
        """Asked for each call, so that a rotated secret is found; "" where there is none. Raises Unavailable."""
        if self._settings.upstream_secret:
            return await secret(self._settings.upstream_secret, self._settings.secret_max_age)
        return self._settings.upstream_key


class Wire:
    """The port `Sender` on our own transport."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = urlsplit(settings.upstream_url)
        self._lazy = Lazy(self._made)
        # By path and key. Most calls differ in their length alone.
        self._heads: dict[tuple[str, str], bytes] = {}

    async def load(self) -> None:
        """The parser, and the system's trust: 20 ms of CPU, in a thread."""
        if self._lazy.made is None:
            await self._lazy.get()

    async def open(self) -> None:
        await (await self._lazy.get()).open()

    async def send(self, path: str, content: bytes | None, key: str, until: float) -> Incoming:
        head = self._head(path, key)
        length = b"" if content is None else b"content-type: application/json\r\ncontent-length: %d\r\n" % len(content)
        method = b"GET " if content is None else b"POST "
        # In one piece, so that it leaves in one packet where it fits.
        return await (await self._lazy.get()).send(b"".join((method, head, length, b"\r\n", content or b"")), until)

    async def hang_up(self) -> None:
        if self._lazy.made is not None:
            await self._lazy.made.aclose()

    def _made(self) -> Transport:
        from subsecond.upstreams.http.transport import Transport, trust  # noqa: PLC0415 - not for a hit

        tls = trust() if self._url.scheme == "https" else None
        port = self._url.port or (443 if tls else 80)
        settings = self._settings
        return Transport(_ascii(self._url.hostname), port, settings.upstream_connections, settings.connect_timeout, tls)

    def _head(self, path: str, key: str) -> bytes:
        head = self._heads.get((path, key))
        if head is None:
            if len(self._heads) >= _MAX_HEADS:
                self._heads.clear()
            head = self._heads[path, key] = self._written(path, key)
        return head

    def _written(self, path: str, key: str) -> bytes:
        """What stands between the method and what depends on the content."""
        if not (key.isascii() and key.isprintable()):
            raise Unavailable("The upstream's key holds a character that no header can carry.")
        target = quote(self._url.path.rstrip("/") + path, safe="/:@!$&'()*+,;=~%")
        host = _ascii(self._url.hostname)
        host = f"[{host}]" if ":" in host else host
        lines = [
            f"{target} HTTP/1.1",
            f"host: {host}" if self._url.port is None else f"host: {host}:{self._url.port}",
            *([f"authorization: Bearer {key}"] if key else []),
            "accept: application/json, text/event-stream",
            "accept-encoding: identity",  # compressed events would arrive in blocks
            "user-agent: subsecond",
        ]
        return "\r\n".join([*lines, ""]).encode("ascii")


def _ascii(host: str | None) -> str:
    """A name in other letters as DNS writes it."""
    name = host or ""
    return name if name.isascii() else name.encode("idna").decode("ascii")
