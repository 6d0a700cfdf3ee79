"""The app on a real socket, and the least that a client needs."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.error import URLError
from urllib.request import urlopen

import httpx2
import pytest
import uvicorn

from subsecond.api.app import create_app
from subsecond.bootstrap import gateway
from subsecond_local.emulator.aws_emulator import access, create_stores, ministack
from subsecond_local.run.ports import free_ports
from subsecond_local.run.stores import stores_from_env

# Seconds for ministack to start.
PATIENCE = 60


@asynccontextmanager
async def listening(app):
    """The app under uvicorn on a free loopback port; gives its base URL."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", http="httptools", lifespan="on")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done(), task
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


@dataclass
class Seen:
    """A response as the client saw it."""

    status: int
    headers: dict
    body: bytes
    lines: list[bytes] = field(default_factory=list)

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def done(self):
        return bool(self.lines) and self.lines[-1] == b"[DONE]"

    @property
    def chunks(self):
        return [json.loads(line) for line in self.lines if line != b"[DONE]"]

    @property
    def text(self):
        parts = [choice for chunk in self.chunks for choice in chunk.get("choices", [])]
        return "".join(part.get("text") or (part.get("delta") or {}).get("content") or "" for part in parts)


class Client:
    """Speaks to one base URL with one key."""

    def __init__(self, base, key):
        self.base = base
        self.http = httpx2.AsyncClient(base_url=base, trust_env=False, timeout=20)
        self.key = key

    async def send(self, method, path, *, content=None, key="", **headers):
        token = key or self.key
        sent = {
            "content-type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        if token:
            sent["authorization"] = f"Bearer {token}"
        body = json.dumps(content).encode() if isinstance(content, dict | list) else content
        response = await self.http.request(
            method, path, content=body, headers={name: value.encode("latin-1") for name, value in sent.items()}
        )
        raw = response.content
        lines = [line[6:] for line in raw.split(b"\n") if line.startswith(b"data: ")]
        return Seen(response.status_code, dict(response.headers), raw, lines)

    async def post(self, path, content, **headers):
        return await self.send("POST", path, content=content, **headers)

    async def chat(self, text="Hello?", model="sim-t0-i0-n8", **fields):
        headers = {
            name: fields.pop(name) for name in [n for n in fields if n.startswith(("x_", "cache_control", "key"))]
        }
        messages = fields.pop("messages", [{"role": "user", "content": text}])
        return await self.post("/v1/chat/completions", {"model": model, "messages": messages, **fields}, **headers)


@pytest.fixture
async def served(settings):
    """`client = await served(settings?)`: the gateway with these settings on a socket."""
    open_contexts = []

    async def serve(chosen=settings, **parts):
        made = parts.get("gateway") or gateway(chosen)
        context = listening(create_app(made))
        client = Client(await context.__aenter__(), chosen.api_key)
        open_contexts.append((context, client))
        return client

    yield serve
    for context, client in reversed(open_contexts):
        await client.http.aclose()
        await context.__aexit__(None, None, None)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    """ministack with the stores, for what moto cannot: several at once. Gives the environment that leads to it."""
    data = tmp_path_factory.mktemp("ministack")
    (port,) = free_ports(1)
    child = ministack(port, data, dict(os.environ), -1)
    with (data / "log").open("wb") as log:
        process = subprocess.Popen(child.command, env=dict(child.environ), stdout=log, stderr=log)
    deadline = time.monotonic() + PATIENCE
    while not _answers(child.health):
        assert process.poll() is None, (data / "log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    create_stores(stores_from_env({}, f"http://127.0.0.1:{port}", emulated=True))
    yield access(port)
    process.kill()
    process.wait()


def _answers(url):
    try:
        with urlopen(url, timeout=2) as reply:
            return reply.status == 200
    except URLError:
        return False
