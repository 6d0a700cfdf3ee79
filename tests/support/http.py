"""An app on a real socket, and the least that a client needs."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2
import uvicorn

# Seconds: far above what anything here takes on a busy machine, so that only a hang gets there.
PATIENCE = 100


@asynccontextmanager
async def listening(app):
    """The app under uvicorn on a free loopback port; gives its base URL."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="error", http="httptools", ws="none", lifespan="on"
    )
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
        self.http = httpx2.AsyncClient(base_url=base, trust_env=False, timeout=PATIENCE)
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
            name: fields.pop(name)
            for name in [n for n in fields if n.startswith(("x_", "cache_control", "key", "openai_beta"))]
        }
        messages = fields.pop("messages", [{"role": "user", "content": text}])
        return await self.post("/v1/chat/completions", {"model": model, "messages": messages, **fields}, **headers)
