"""The gateway in the caller's own process: transports for the HTTP clients of OpenAI's package, so that a client has
the caches and joined calls without a server beside it (`docs/library.md`).

    OpenAI(http_client=httpx2.Client(transport=Transport(settings)))
    AsyncOpenAI(http_client=httpx2.AsyncClient(transport=AsyncTransport(settings)))

It is the very app that a server serves, asked by ASGI: the same routes, headers and errors. httpx's own ASGITransport
collects an answer before it hands it on; here each part comes as the app sends it. Both httpx and httpx2, which is its
successor in OpenAI's package, are served: an answer is made of the classes of the library that asks.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import cache
from importlib import import_module
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, Self, TypeVar

from anyio import BrokenResourceError, EndOfStream, create_memory_object_stream

from subsecond import bootstrap
from subsecond.api.app import create_app

if TYPE_CHECKING:
    from types import ModuleType

    from httpx2 import AsyncBaseTransport, BaseTransport

    from subsecond.config import Settings
else:
    # Clients ask for no more than the methods, and neither library need be installed.
    AsyncBaseTransport = BaseTransport = object

T = TypeVar("T")
Headers = list[tuple[bytes, bytes]]

# Parts of an answer that wait for their reader before the app waits.
AHEAD = 64


class Transport(BaseTransport):
    """For synchronous clients, from any thread. The gateway runs on an event loop in a thread of its own, from the
    first request to `close`. ValueError for settings that do not fit."""

    def __init__(self, settings: Settings | None = None) -> None:
        """settings: those of the environment without."""
        self._served = _Served(settings)
        self._loop = _Loop()

    def handle_request(self, request: Any) -> Any:
        """Called by the client. `request` and what is returned are of its library."""
        exchange = self._loop.run(self._served.answer(request, request.read()))
        return exchange.response(_parts(exchange.library)(exchange, self._loop))

    def close(self) -> None:
        """Called by the client's `close`."""
        self._loop.end(self._served.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class AsyncTransport(AsyncBaseTransport):
    """For asynchronous clients. Everything runs on the caller's own event loop, so it serves one loop alone, as such a
    client's connections do. ValueError for settings that do not fit."""

    def __init__(self, settings: Settings | None = None) -> None:
        """settings: those of the environment without."""
        self._served = _Served(settings)

    async def handle_async_request(self, request: Any) -> Any:
        """Called by the client. `request` and what is returned are of its library."""
        exchange = await self._served.answer(request, await request.aread())
        return exchange.response(_async_parts(exchange.library)(exchange))

    async def aclose(self) -> None:
        """Called by the client's `close`."""
        await self._served.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()


class _Loop:
    """An event loop in a thread of its own, from the first work on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ended = False

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What it returns, in the caller's thread. RuntimeError after the end."""
        with self._lock:
            if self._ended:
                work.close()
                raise RuntimeError("The transport is closed.")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="subsecond", daemon=True)
                self._thread.start()
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            # The caller is interrupted. Of work that failed by itself there is nothing left to cancel.
            future.cancel()
            raise

    def call(self, function: Callable[[], object]) -> None:
        """Soon, and nothing after the end."""
        with self._lock:
            if self._loop and not self._ended:
                self._loop.call_soon_threadsafe(function)

    def end(self, last: Coroutine[Any, Any, None]) -> None:
        """`last` is run where there was work at all."""
        with self._lock:
            begun, self._ended = bool(self._loop) and not self._ended, True
        if not (begun and self._loop and self._thread):
            last.close()
            return
        asyncio.run_coroutine_threadsafe(last, self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Served:
    """The app, and what runs in it. It lives on the loop that first calls `answer`."""

    def __init__(self, settings: Settings | None) -> None:
        settings = settings or bootstrap.from_environment()
        self._key = ""
        if settings.keys == "memory":
            # Who can call this is let in, so the client's own key counts for nothing. With a table of keys it does.
            self._key = settings.api_key or token_urlsafe(32)
            settings = replace(settings, api_key=self._key)
        self._app = create_app(bootstrap.gateway(settings), bare=True)
        self._starting = asyncio.Lock()
        self._life: AsyncExitStack | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def answer(self, request: Any, body: bytes) -> _Exchange:
        """The answer, once it has begun. The library's own ReadTimeout when it takes longer than the client waits."""
        await self._start()
        exchange = _Exchange(request, body)
        task = asyncio.create_task(self._serve(self._scope(request), exchange))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await exchange.begun()
        return exchange

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        if self._life:
            await self._life.aclose()

    async def _start(self) -> None:
        async with self._starting:
            if self._life is None:
                self._life = AsyncExitStack()
                await self._life.enter_async_context(self._app.router.lifespan_context(self._app))

    async def _serve(self, scope: dict[str, Any], exchange: _Exchange) -> None:
        try:
            await self._app(scope, exchange.receive, exchange.send)
        finally:
            exchange.end()

    def _scope(self, request: Any) -> dict[str, Any]:
        url = request.url
        headers = [(name.lower(), value) for name, value in request.headers.raw]
        if self._key:
            headers = [header for header in headers if header[0] != b"authorization"]
            headers.append((b"authorization", f"Bearer {self._key}".encode()))
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": url.raw_path.partition(b"?")[0],
            "query_string": url.query,
            "root_path": "",
            "headers": headers,
            "server": (url.host, url.port),
            "client": None,
        }


class _Exchange:
    """One request's way through the app, and its answer's way back. Used on the app's loop alone. Errors are those of
    the library that asks."""

    def __init__(self, request: Any, body: bytes) -> None:
        self.library = import_module(type(request).__module__.partition(".")[0])
        self._request = request
        self._body: bytes | None = body
        self._status = 0
        self._headers: Headers = []
        self._begun = asyncio.Event()
        self._left = asyncio.Event()
        self._whole = False
        self._into, self._parts = create_memory_object_stream[bytes](AHEAD)
        # Seconds that the client waits for the head, and for each part; None: for ever.
        self._patience: float | None = request.extensions.get("timeout", {}).get("read")

    async def receive(self) -> dict[str, Any]:
        """ASGI's: the body, then nothing until the client leaves."""
        if self._body is None:
            await self._left.wait()
            return {"type": "http.disconnect"}
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Any) -> None:
        """ASGI's. What is sent to a client that has left is dropped."""
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], list(message["headers"])
            self._begun.set()
            return
        if body := message.get("body"):
            with suppress(BrokenResourceError):
                await self._into.send(body)
        self._whole = not message.get("more_body")

    def end(self) -> None:
        """The app has returned, or failed."""
        self._into.close()
        self._begun.set()
        self._left.set()

    async def begun(self) -> None:
        """Waits for the head."""
        try:
            await self._patiently(self._begun.wait())
        except BaseException:
            self.leave()
            raise
        if not self._status:
            self.leave()
            raise self._broken()

    async def part(self) -> bytes | None:
        """The next part; None at the end."""
        try:
            return await self._patiently(self._parts.receive())
        except EndOfStream:
            if self._whole:
                return None
            raise self._broken() from None

    def leave(self) -> None:
        """The client wants no more."""
        self._left.set()
        self._parts.close()

    def response(self, stream: Any) -> Any:
        return self.library.Response(self._status, headers=self._headers, stream=stream, request=self._request)

    async def _patiently(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            async with asyncio.timeout(self._patience):
                return await work
        except TimeoutError as error:
            raise self.library.ReadTimeout("The answer takes too long.", request=self._request) from error

    def _broken(self) -> Exception:
        error: Exception = self.library.RemoteProtocolError("The answer breaks off.", request=self._request)
        return error


@cache
def _parts(library: ModuleType) -> Any:
    """The class of an answer's body for a synchronous client: each library wants one of its own."""

    class Parts(library.SyncByteStream):  # type: ignore[name-defined, misc]
        def __init__(self, exchange: _Exchange, loop: _Loop) -> None:
            self._exchange = exchange
            self._loop = loop

        def __iter__(self) -> Iterator[bytes]:
            while (part := self._loop.run(self._exchange.part())) is not None:
                yield part

        def close(self) -> None:
            self._loop.call(self._exchange.leave)

    return Parts


@cache
def _async_parts(library: ModuleType) -> Any:
    """As `_parts`, for an asynchronous client."""

    class AsyncParts(library.AsyncByteStream):  # type: ignore[name-defined, misc]
        def __init__(self, exchange: _Exchange) -> None:
            self._exchange = exchange

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while (part := await self._exchange.part()) is not None:
                yield part

        async def aclose(self) -> None:
            self._exchange.leave()

    return AsyncParts
