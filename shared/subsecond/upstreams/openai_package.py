"""As `openai`, but through the `openai` package's own client (`SUBSECOND_UPSTREAM=openai_package`).

For what only a client library brings: a proxy from the environment (`HTTPS_PROXY`, `NO_PROXY`), the package's own
variables (`OPENAI_ORG_ID`, `OPENAI_PROJECT_ID`). It costs half a second of CPU to import, at the first call and in a
thread, and nine times the CPU of a call (`docs/decisions.md`). Errors' bodies are read by the package, whatever their
size.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

from subsecond.aio.lazy import Lazy
from subsecond.config import Settings
from subsecond.upstreams.http.exchange import ConnectTimeout, Fields, Incoming, Outgoing, SendFailed
from subsecond.upstreams.openai import OpenAIUpstream, checked

if TYPE_CHECKING:
    import httpx2
    import openai

# Seconds that a body's end may lag behind `[DONE]`: closing would cost a handshake.
DRAIN = 1.0


def build(settings: Settings) -> OpenAIUpstream:
    """See `upstreams.openai.checked`."""
    return OpenAIUpstream(settings, Package(checked(settings)))


class Package:
    """The port `Sender`. One client for the process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = settings.upstream_url.rstrip("/")
        self._lazy = Lazy(self._made)
        self._ending: set[asyncio.Task[None]] = set()

    async def load(self) -> None:
        await self._lazy.get()

    async def open(self) -> None:
        """Nothing: the package opens a connection with a request alone."""

    async def send(self, outgoing: Outgoing, key: str, until: float) -> Incoming:
        client = await self._lazy.get()
        import httpx2
        import openai

        more = {name.decode("latin-1"): value.decode("latin-1") for name, value in outgoing.headers}
        options: Any = {"headers": {**more, "authorization": f"Bearer {key}" if key else openai.omit}}
        url = self._url + outgoing.path  # absolute, which saves the client joining it
        try:
            async with asyncio.timeout_at(until):
                # The documented way to send what the package has no method for. Its own methods walk the body against
                # its types, which costs twice as much.
                if outgoing.verb == "DELETE":
                    found = await client.delete(url, cast_to=httpx2.Response, options=options)
                elif outgoing.verb == "GET":
                    found = await client.get(url, cast_to=httpx2.Response, options=options, stream=True)
                else:
                    found = await client.post(
                        url, cast_to=httpx2.Response, content=outgoing.content, options=options, stream=True
                    )
        except openai.APIStatusError as error:
            return _Arriving(error.response, self._later)
        except openai.APITimeoutError as error:
            raise ConnectTimeout(f"it took no connection within {self._settings.connect_timeout:g} s") from error
        except (openai.APIConnectionError, httpx2.RequestError) as error:  # the latter while an error's body is read
            raise SendFailed(str(error.__cause__ or error)) from error
        return _Arriving(found, self._later)

    async def hang_up(self) -> None:
        client, self._lazy = self._lazy.made, Lazy(self._made)
        if client is not None:
            await client.close()
        await asyncio.gather(*self._ending)

    def _made(self) -> openai.AsyncOpenAI:
        import httpx2  # not for a hit
        import openai

        places = self._settings.upstream_connections
        limits = httpx2.Limits(max_connections=places, max_keepalive_connections=places, keepalive_expiry=55)
        timeout = httpx2.Timeout(None, connect=self._settings.connect_timeout)
        # No cookies and no redirects: what one tenant's call was given is no other's.
        cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        headers = {"accept-encoding": "identity"}
        http = openai.DefaultAsyncHttpxClient(
            limits=limits, timeout=timeout, follow_redirects=False, cookies=cookies, headers=headers
        )
        return openai.AsyncOpenAI(
            base_url=self._url, api_key="set for each call", max_retries=0, timeout=timeout, http_client=http
        )

    def _later(self, ending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(ending)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


class _Arriving:
    """The port `Incoming` on a response of httpx2."""

    resent = False

    def __init__(self, response: httpx2.Response, later: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self.status = response.status_code
        read = response.is_stream_consumed
        fields = [(name.lower(), value) for name, value in response.headers.raw]
        # What the package has read it has decoded, too, but for the one name that it does not know.
        self.headers: Fields = [
            (name, value)
            for name, value in fields
            if not read or name != b"content-encoding" or value.lower() == b"x-gzip"
        ]
        self.complete = read
        self._data = response.content if read else b""
        self._lost = False
        self._left = False  # by its reader
        self._response = response
        self._pieces: AsyncIterator[bytes] = response.aiter_raw()
        self._later = later

    def take(self) -> bytes:
        if self._lost and not self._data:
            raise ConnectionError("the answer broke off")
        data, self._data = self._data, b""
        return data

    async def wait(self, until: float | None = None) -> None:
        import httpx2

        if self._data or self.complete or self._lost:
            return
        try:
            async with asyncio.timeout_at(until):
                self._data = await anext(self._pieces)
        except StopAsyncIteration:
            self.complete = True
        except httpx2.RequestError:
            self._lost = True

    def finish(self) -> None:
        self._leave(self._drain)

    def close(self) -> None:
        self._leave(self._response.aclose)

    def _leave(self, end: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if not (self.complete or self._left):
            self._left = True
            self._later(end())

    async def _drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                while not (self.complete or self._lost):
                    await self.wait()
                    self._data = b""
        await self._response.aclose()
