"""Any OpenAI-compatible server, straight on our own transport: no client library between a call and its bytes.

What needs one (a proxy from the environment, HTTP/2) has `openai_package`; both read answers alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from subsecond.aws.secrets import parse
from subsecond.config import Settings
from subsecond.dialects.lookup import dialect_of
from subsecond.errors import DialectNotSpoken, Unavailable, UpstreamError
from subsecond.model import Call, Passage
from subsecond.ports import ByteStream, EventStream, Reply
from subsecond.resending import count
from subsecond.upstreams.client import Client, Sender
from subsecond.upstreams.http.exchange import Incoming, Outgoing
from subsecond.upstreams.kind import dialects_of
from subsecond.upstreams.reading import read_answer, read_reply
from subsecond.upstreams.refusals import is_of_the_path
from subsecond.upstreams.request_body import UsageRefusals, adds_usage, names_it, request_body
from subsecond.upstreams.time_limits import Clock
from subsecond.upstreams.wire import Wire

_encode = json.JSONEncoder(separators=(",", ":")).encode


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


class OpenAIUpstream:
    """The port `Upstream`. One pool of connections for the process; it belongs to one event loop."""

    def __init__(self, settings: Settings, sender: Sender) -> None:
        self._settings = settings
        self._client = Client(settings, sender, urlsplit(settings.upstream_url).netloc)
        self._refusing = UsageRefusals()

    async def ask(self, call: Call) -> Reply | EventStream:
        """See the port."""
        await self._load()  # before the clock starts: that is not the upstream's time
        clock = Clock(self._settings, call.deadline)
        usage = adds_usage(call) and call.model not in self._refusing
        try:
            return await self._asked(call, clock, usage=usage)
        except UpstreamError as error:
            # Chat is what every server here speaks: its 404 means a wrong base URL, and is told as it came.
            if call.endpoint not in ("chat", "text") and is_of_the_path(error):
                spoken = dialects_of(self._settings)
                raise DialectNotSpoken(dialect_of(call.endpoint).name, spoken) from error
            if not usage or not names_it(error):
                raise
        count()
        answer = await self._asked(call, clock, usage=False)
        self._refusing.add(call.model)
        return answer

    async def fetch(self, path: str, body: Mapping[str, Any] | None, deadline: float | None) -> Reply:
        """See the port. The whole reply is due within `first_token_timeout`."""
        content = None if body is None else _encode(dict(body)).encode()
        return await self._whole(Outgoing(path, content), deadline)

    async def pass_on(self, passage: Passage) -> ByteStream:
        """See the port."""
        from subsecond.upstreams.passage import read_bytes  # few calls pass unread

        await self._load()
        clock = Clock(self._settings, passage.deadline)

        async def read(incoming: Incoming, secret: bytes) -> ByteStream:
            return await read_bytes(incoming, clock, secret)

        headers = ((b"content-type", passage.content_type.encode("latin-1")), *passage.headers)
        return await self._client.call(Outgoing(passage.path, passage.content, headers), clock, read)

    async def kept(self, method: str, path: str, deadline: float | None) -> Reply | EventStream:
        """See the port `Keeping`."""
        await self._load()
        clock = Clock(self._settings, deadline)

        async def read(incoming: Incoming, secret: bytes) -> Reply | EventStream:
            return await read_answer(incoming, clock, secret)

        content = b"{}" if method == "POST" else None
        return await self._client.call(Outgoing(path, content, method=method), clock, read)

    async def warm(self) -> None:
        """What the first call would pay for: the imports, a connection. Raises UpstreamError."""
        await self._load()
        await self._client.warm()

    async def hang_up(self) -> None:
        """Close every connection; the next call opens a new one."""
        await self._client.hang_up()

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._client.hang_up()

    async def _load(self) -> None:
        if not self._settings.upstream_url:
            raise Unavailable("No upstream is configured. Set SUBSECOND_UPSTREAM_URL to one, like https://host/v1.")
        await self._client.load()

    async def _asked(self, call: Call, clock: Clock, *, usage: bool) -> Reply | EventStream:
        async def read(incoming: Incoming, secret: bytes) -> Reply | EventStream:
            return await read_answer(incoming, clock, secret)

        outgoing = Outgoing(dialect_of(call.endpoint).path, request_body(call, usage=usage), call.headers)
        return await self._client.call(outgoing, clock, read)

    async def _whole(self, outgoing: Outgoing, deadline: float | None) -> Reply:
        await self._load()
        clock = Clock(self._settings, deadline)

        async def read(incoming: Incoming, secret: bytes) -> Reply:
            return await read_reply(incoming, clock, secret, [])

        return await self._client.call(outgoing, clock, read)
