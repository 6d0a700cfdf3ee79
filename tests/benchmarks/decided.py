"""The candidates of `decisions`: each the same work by another library, as short as its users write it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from subsecond.api import bodies, wire
from subsecond.api.app import create_app
from subsecond.api.usual_body import usual_chat
from subsecond.bootstrap import gateway
from subsecond.config import Settings
from subsecond.model import Call
from subsecond.upstreams import openai, openai_package

MODEL = "sim-t0-i0-n8"
CHAT = {
    "model": MODEL,
    "messages": [{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": "Why is the sky blue?"}],
    "temperature": 0.2,
    "max_tokens": 200,
}
LONG = {**CHAT, "messages": [*CHAT["messages"][:1], {"role": "user", "content": "Why is the sky blue? " * 1_000}]}
TOOLS = [{"type": "function", "function": {"name": f"f{n}", "parameters": {"type": "object", "properties": {
    f"p{m}": {"type": "string", "description": "A parameter."} for m in range(8)}}}} for n in range(20)]  # fmt: skip
BODIES = {
    "0.2 KB": json.dumps(CHAT).encode(),
    "21 KB in one text": json.dumps(LONG).encode(),
    "14 KB of tools": json.dumps({**CHAT, "tools": TOOLS}).encode(),
}
Run = Callable[[], Awaitable[object]]


def json_calls(raw: bytes) -> dict[str, dict[str, Callable[[], object]]]:
    """Reading a request as the route does, and writing it as the key does: sorted, without blanks."""
    body = json.loads(raw)
    encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
    read: dict[str, Callable[[], object]] = {
        "json, our checks": lambda: wire.parse(raw),
        "json": lambda: json.loads(raw),
    }
    write: dict[str, Callable[[], object]] = {"json": lambda: encode(body).encode()}
    if find_spec("orjson"):
        orjson = import_module("orjson")
        read["orjson"] = lambda: orjson.loads(raw)
        write["orjson"] = lambda: orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    if find_spec("msgspec"):
        msgspec = import_module("msgspec")
        decode, encoder = msgspec.json.Decoder().decode, msgspec.json.Encoder(order="sorted").encode
        read["msgspec"] = lambda: decode(raw)
        write["msgspec"] = lambda: encoder(body)
    return {"read": read, "write sorted": write}


def body_checks() -> dict[str, Callable[[], object]]:
    """The check of what is seldom, the same by msgspec, and our own that lets the usual bodies through."""
    found: dict[str, Callable[[], object]] = {"pydantic": lambda: bodies.check(bodies.ChatBody, CHAT)}
    if find_spec("msgspec"):
        check = import_module("tests.benchmarks.msgspec_check").check
        found["msgspec"] = lambda: check(CHAT)
    return {**found, "own check": lambda: usual_chat(CHAT)}


def app_calls() -> dict[str, Run]:
    """An exact hit through the app, and the routing of FastAPI and Starlette alone, where nothing is behind it."""
    settings = Settings(upstream="subsecond_local.simulator.adapter", api_key="k", semantic="off", ledger="memory")
    served = gateway(settings)
    found = {
        name: _posts(create_app(served, bare=bare))
        for name, bare in (("FastAPI, a hit", False), ("Starlette, a hit", True))
    }
    for name, bare in (("FastAPI, GET /health", False), ("Starlette, GET /health", True)):
        found[name] = _gets(create_app(served, bare=bare))
    found["own routes, GET /health"] = _gets(_own_routes)
    return found


async def _own_routes(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
    """The least that serves a route: a table, and two messages."""
    handler = {("GET", "/health"): b'{"status":"ok"}'}[scope["method"], scope["path"]]
    del receive
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": handler})


def _scope(method: str, path: str) -> dict[str, Any]:
    headers = [(b"authorization", b"Bearer k"), (b"content-type", b"application/json")]
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "extensions": {},
    }  # fmt: skip


def _gets(app: Any) -> Run:
    async def call() -> object:
        sent: list[Any] = []
        await app(_scope("GET", "/health"), None, _into(sent))
        assert sent[0]["status"] == 200
        return sent

    return call


def _posts(app: Any) -> Run:
    async def call() -> object:
        sent: list[Any] = []
        parts = [{"type": "http.request", "body": BODIES["0.2 KB"], "more_body": False}]

        async def receive() -> Any:
            return parts.pop() if parts else await asyncio.Event().wait()

        await app(_scope("POST", "/v1/chat/completions"), receive, _into(sent))
        assert sent[0]["status"] == 200, sent
        return sent

    return call


def _into(sent: list[Any]) -> Callable[[Any], Awaitable[None]]:
    async def send(message: Any) -> None:
        sent.append(message)

    return send


@asynccontextmanager
async def upstream_calls(url: str, key: str) -> AsyncIterator[dict[str, Run]]:
    """The same whole call: below our adapter, as the adapter makes it, and as users of the libraries write it."""
    import httpx2
    from openai import AsyncOpenAI

    settings = Settings(upstream_url=url, upstream_key=key)
    straight, packaged = openai.build(settings), openai_package.build(replace(settings, upstream="openai_package"))
    http, package = httpx2.AsyncClient(), AsyncOpenAI(base_url=url, api_key=key, max_retries=0)
    headers = {"authorization": f"Bearer {key}"}

    async def by_http() -> object:
        reply = await http.post(f"{url}/chat/completions", json=_body(), headers=headers)
        return reply.raise_for_status().json()

    try:
        yield {
            "our adapter, own transport": lambda: straight.ask(_call()),
            "our adapter, openai package": lambda: packaged.ask(_call()),
            "httpx2 alone": by_http,
            "openai package alone": lambda: package.chat.completions.create(**_body()),
        }
    finally:
        await straight.aclose()
        await packaged.aclose()
        await http.aclose()
        await package.close()


def _body() -> dict[str, Any]:
    return {**CHAT, "messages": [{"role": "user", "content": uuid.uuid4().hex}]}


def _call() -> Call:
    body = _body()
    return Call("chat", MODEL, body, form="whole")
