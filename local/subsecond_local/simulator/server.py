"""The simulator over HTTP: a plain ASGI app, because a framework would cost more than all that it does.

    python -m subsecond_local.simulator.server --port 0 --key K       prints: READY http://127.0.0.1:PORT

POST /v1/chat/completions, /v1/completions, /v1/responses, /v1/messages, /v1/messages/count_tokens and /v1/embeddings;
GET /v1/models, /v1/models/NAME, /v1/responses/ID (DELETE too) and its /input_items, and /health. docs/simulator.md
describes model names and faults; faults come by the request header `x-sim-fault` as well. With
`slots`, so many answers are made at a time and the others wait. GET /stats says what happened since the last POST
/stats/reset: `calls` = `completed` + `refused` (4xx, 5xx) + `aborted` (the client hung up) + `broken` (a fault cut the
answer) + `running`; `by_model` and `by_path` count requests; `connections` are open now, `clients` were seen.
Web pages are refused: what they would ask is the gateway's to answer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hmac
import itertools
import socket
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import uvicorn

from subsecond.errors import UpstreamError, UpstreamUnreachable
from subsecond_local.run.browser_guard import Guard
from subsecond_local.simulator.command import add_options
from subsecond_local.simulator.dialects import DIALECTS
from subsecond_local.simulator.engine import Simulation
from subsecond_local.simulator.names import FOREVER, profile, refusal
from subsecond_local.simulator.objects import found
from subsecond_local.simulator.paced import PacedPayloads, whole_body
from subsecond_local.simulator.request_cycle import JSON, RequestCycle
from subsecond_local.simulator.simulated_answer import Payload, SimulatedAnswer, as_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from subsecond_local.run.browser_guard import App, Receive, Send
    from subsecond_local.simulator.dialects.dialect import Dialect

_EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
_ENDPOINTS: Mapping[str, str] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "text",
    "/v1/responses": "responses",
    "/v1/messages": "messages",
}
_EMBEDDINGS = "/v1/embeddings"
_TOKENS = "/v1/messages/count_tokens"
METHODS = dict.fromkeys(("/health", "/stats"), "GET") | dict.fromkeys(
    (*_ENDPOINTS, _EMBEDDINGS, _TOKENS, "/stats/reset"), "POST"
)
# Below these are objects, whose ids are parts of their paths.
OBJECTS = ("/v1/models", "/v1/responses/")
# Long, so that no client meets a connection that is just being closed for idleness (uvicorn's default is 5 s).
_KEEP_ALIVE = 75


class SimulatorApp:
    """The ASGI app. `connections` says how many are open."""

    def __init__(self, key: str, slots: int, seed: int, connections: Callable[[], int]) -> None:
        self._key = key.encode()
        self._slots = asyncio.Semaphore(slots) if slots else None
        self._simulation = Simulation(seed)
        self._connections = connections
        self._reset()

    def _reset(self) -> None:
        self._simulation.reset()
        self._counts: Counter[str] = Counter()
        self._models: Counter[str] = Counter()
        self._paths: Counter[str] = Counter()
        self._clients: set[tuple[str, int] | None] = set()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        cycle = RequestCycle(scope, receive, send)
        try:
            self._admit(cycle)
            await self._route(cycle)
        except UpstreamError as error:
            await cycle.reply(as_json(_dialect(cycle).error_body(error)), error.status, error.retry_after)

    def _admit(self, cycle: RequestCycle) -> None:
        self._clients.add(cycle.client)
        method = cycle.method if cycle.path.startswith(OBJECTS) else METHODS.get(cycle.path)
        if method is None:
            raise refusal(f"Unknown request URL: {cycle.path}.", status=404, code="unknown_url")
        self._paths[cycle.path] += 1
        if method != cycle.method:
            raise refusal(f"{cycle.path} wants {method}.", status=405, code="method_not_allowed")
        if self._key and cycle.path.startswith("/v1/") and not self._knows(cycle):
            raise refusal("Incorrect API key provided.", status=401, code="invalid_api_key")
        if cycle.path.startswith("/v1/messages") and b"anthropic-version" not in cycle.headers:
            raise refusal("anthropic-version: header is required")

    def _knows(self, cycle: RequestCycle) -> bool:
        told = cycle.headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        return hmac.compare_digest(told or cycle.headers.get(b"x-api-key", b""), self._key)

    async def _route(self, cycle: RequestCycle) -> None:
        path = cycle.path
        if path in _ENDPOINTS or path == _EMBEDDINGS:
            await self._count(cycle)
        elif path == _TOKENS:
            await cycle.reply(self._simulation.tokens(_object(await cycle.body())))
        elif path == "/health":
            await cycle.reply(b'{"status":"ok"}')
        elif path == "/stats":
            await cycle.reply(as_json(self._stats()))
        elif path == "/stats/reset":
            self._reset()
            await cycle.reply(b"{}")
        else:
            await self._object(cycle)

    async def _object(self, cycle: RequestCycle) -> None:
        path, anthropic = cycle.path.removeprefix("/v1"), b"anthropic-version" in cycle.headers
        told = found(self._simulation.memory, cycle.method, path, anthropic=anthropic)
        if told is None:
            raise refusal(f"Unknown request URL: {cycle.path}.", status=404, code="unknown_url")
        await cycle.reply(as_json(told))

    def _stats(self) -> dict[str, Any]:
        names = ("calls", "completed", "refused", "aborted", "broken")
        counts = {name: self._counts[name] for name in names}
        running = counts["calls"] - sum(counts[name] for name in names[1:])
        shown = {"running": running, "by_model": self._models, "by_path": self._paths, "clients": len(self._clients)}
        return counts | shown | {"connections": self._connections()}

    async def _count(self, cycle: RequestCycle) -> None:
        # A reset while this call runs shall not make the new counts negative.
        counts = self._counts
        counts["calls"] += 1
        outcome = "completed"
        try:
            await self._answer(cycle)
        except UpstreamUnreachable:
            # To return without the response's end makes uvicorn close the connection.
            outcome = "broken"
        except UpstreamError:
            outcome = "refused"
            raise
        except ConnectionAbortedError:
            outcome = "aborted"
        except asyncio.CancelledError:
            outcome = "aborted"
            task = asyncio.current_task()
            if not cycle.gone or task is None or task.uncancel():
                raise
        finally:
            cycle.unwatch()
            counts[outcome] += 1

    async def _answer(self, cycle: RequestCycle) -> None:
        body = _object(await cycle.body())
        self._models[str(body.get("model"))] += 1
        header = cycle.headers.get(b"x-sim-fault", b"").decode("latin-1")
        endpoint = _ENDPOINTS.get(cycle.path)
        if endpoint is None:
            vectors = self._simulation.embeddings(body, header)
            await asyncio.sleep(profile(body["model"]).first)
            await cycle.reply(vectors)
            return
        streamed = body.get("stream")
        if not isinstance(streamed, bool | None):
            raise refusal("'stream' must be true or false.", param="stream", code="invalid_type")
        answer = self._simulation.answer(endpoint, body, header)
        # A whole answer at once leaves nobody the time to hang up, and watching costs a task.
        if streamed or answer.times[-1] or answer.faults or self._slots:
            cycle.watch()
        async with self._slots or contextlib.nullcontext():
            await (_stream(cycle, answer, usage=_wants_usage(body)) if streamed else _whole(cycle, answer))


def _dialect(cycle: RequestCycle) -> Dialect:
    """In whose words an error is said: the path's, and elsewhere those of whom the headers are."""
    messages = cycle.path.startswith("/v1/messages") or b"anthropic-version" in cycle.headers
    return DIALECTS["messages" if messages else "chat"]


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise refusal("The body must be a JSON object.", code="invalid_type")
    return body


def _wants_usage(body: Mapping[str, Any]) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


async def _sleep(seconds: float, *, first: bool) -> None:
    del first
    await asyncio.sleep(seconds)


async def _stream(cycle: RequestCycle, answer: SimulatedAnswer, *, usage: bool) -> None:
    payloads = PacedPayloads(answer, _sleep, usage=usage)
    await cycle.start(200, _EVENTS)
    try:
        await _send_events(cycle, payloads, answer.faults.get("slow"))
    except UpstreamUnreachable:
        raise
    except UpstreamError as error:
        await cycle.end(_framed(payloads.failed(error)))
        raise UpstreamUnreachable("The stream ended in an error event.") from error
    if "nodone" in answer.faults:
        await cycle.end()
        raise UpstreamUnreachable("The answer ended before its end.")
    await cycle.end(DIALECTS[answer.endpoint].last)


async def _send_events(cycle: RequestCycle, payloads: PacedPayloads, slow: float | None) -> None:
    while (payload := await payloads.next()) is not None:
        event = _framed(payload)
        if slow is None:
            await cycle.write(event)
        else:
            await _write_slowly(cycle, event, slow / 1000)


def _framed(payload: Payload) -> bytes:
    name = b"event: %b\n" % payload.name if payload.name else b""
    return b"%bdata: %b\n\n" % (name, payload.data)


async def _whole(cycle: RequestCycle, answer: SimulatedAnswer) -> None:
    faults = answer.faults
    seconds = FOREVER if "stall" in faults else answer.times[-1]
    if seconds:
        await asyncio.sleep(seconds)
    body = whole_body(answer)
    if not faults.keys() & {"truncate", "slow"}:
        await cycle.reply(body)
        return
    await cycle.start(200, [JSON, (b"content-length", b"%d" % len(body))])
    if "truncate" in faults:
        await cycle.write(body[: len(body) // 2])
        raise UpstreamUnreachable("The connection died.")
    await _write_slowly(cycle, body, faults["slow"] / 1000)
    await cycle.end()


async def _write_slowly(cycle: RequestCycle, data: bytes, seconds: float) -> None:
    for piece in cut(data):
        await cycle.write(piece)
        await asyncio.sleep(seconds)


def cut(data: bytes) -> Iterator[bytes]:
    """Four pieces, cut in the first word, inside the first character of several bytes (or midway), before the end."""
    middle = next((at + 1 for at, value in enumerate(data) if value > 0x7F), len(data) // 2)  # noqa: PLR2004
    edges = (0, 3, middle, len(data) - 1, len(data))
    return (data[start:end] for start, end in itertools.pairwise(edges))


class _Server(uvicorn.Server):
    """Says where it listens, once it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets
        print(f"READY http://127.0.0.1:{sockets[0].getsockname()[1]}", flush=True)


def serve(port: int = 0, key: str = "", slots: int = 0, seed: int = 0) -> None:
    """Serve on 127.0.0.1 until a signal. port 0: a free one. key "": anybody may ask. slots 0: no limit. OSError when
    the port is taken."""
    serve_app(lambda connections: SimulatorApp(key, slots, seed, connections), port)


def serve_app(make: Callable[[Callable[[], int]], App], port: int) -> None:
    """As `serve`, for the ASGI app that `make` makes; it is told how many connections are open."""
    config = uvicorn.Config(
        Guard(make(lambda: len(server.server_state.connections))),
        loop="auto",  # uvloop where it is installed
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="critical",
        timeout_keep_alive=_KEEP_ALIVE,
        # A stalled answer would hold up the end for ever.
        timeout_graceful_shutdown=0,
    )
    server = _Server(config)
    with socket.create_server(("127.0.0.1", port), backlog=1024) as listener:
        server.run(sockets=[listener])


def main() -> None:
    parser = argparse.ArgumentParser(description="An OpenAI-compatible server without a model.")
    add_options(parser)
    options = parser.parse_args()
    try:
        serve(options.port, options.key, options.slots, options.seed)
    except OSError as error:
        sys.exit(f"The simulator cannot listen on port {options.port}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
