"""An upstream's requests, written straight on our own transport."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from subsecond.aio.lazy import Lazy
from subsecond.config import Settings
from subsecond.errors import Unavailable
from subsecond.upstreams.http.exchange import Incoming, Outgoing
from subsecond.upstreams.kind import kind_of

if TYPE_CHECKING:
    from subsecond.upstreams.http.transport import Transport

ANTHROPIC_VERSION = "anthropic-version: 2023-06-01"
# Paths whose request heads are kept ready.
_MAX_HEADS = 16


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

    async def send(self, outgoing: Outgoing, key: str, until: float) -> Incoming:
        content, headers = outgoing.content, outgoing.headers
        head = self._head(outgoing.path, key)
        if headers:
            head += b"".join(b"%b: %b\r\n" % field for field in headers)
        kind = b"" if any(name == b"content-type" for name, _ in headers) else b"content-type: application/json\r\n"
        length = b"" if content is None else b"%bcontent-length: %d\r\n" % (kind, len(content))
        verb = b"%b " % outgoing.verb.encode()
        # In one piece, so that it leaves in one packet where it fits.
        return await (await self._lazy.get()).send(b"".join((verb, head, length, b"\r\n", content or b"")), until)

    async def hang_up(self) -> None:
        if self._lazy.made is not None:
            await self._lazy.made.aclose()

    def _made(self) -> Transport:
        from subsecond.upstreams.http.transport import Transport  # not for a hit

        return Transport.to(self._url, self._settings.upstream_connections, self._settings.connect_timeout)

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
        target = quote(self._url.path.rstrip("/") + path, safe="/:@!$&'()*+,;=~%?")
        host = _ascii(self._url.hostname)
        host = f"[{host}]" if ":" in host else host
        lines = [
            f"{target} HTTP/1.1",
            f"host: {host}" if self._url.port is None else f"host: {host}:{self._url.port}",
            *self._shown(path, key),
            "accept: application/json, text/event-stream",
            "accept-encoding: identity",  # compressed events would arrive in blocks
            "user-agent: subsecond",
        ]
        return "\r\n".join([*lines, ""]).encode("ascii")

    def _shown(self, path: str, key: str) -> list[str]:
        """Anthropic takes its key under another name, but for OpenAI's dialect; and a version with every request, which
        a call has from its client and the list of models has not."""
        if kind_of(self._settings) != "anthropic" or path == "/chat/completions":
            return [f"authorization: Bearer {key}"] if key else []
        return [*([f"x-api-key: {key}"] if key else []), *([ANTHROPIC_VERSION] if path == "/models" else [])]


def _ascii(host: str | None) -> str:
    """A name in other letters as DNS writes it."""
    name = host or ""
    return name if name.isascii() else name.encode("idna").decode("ascii")
