"""A server that says exact bytes, and the gateway before it on a socket."""

from __future__ import annotations

import asyncio
import json

import pytest

from subsecond.config import Settings
from tests.support.http import PATIENCE

KEY, UPSTREAM_KEY = "sk-test", "sk-upstream-0123456789"


class Server:
    """`answer(body, nth)` gives the pieces to send: bytes, and events to wait for. requests: the bodies as they
    came; heads, in lower case, and paths: of these. left: a client has closed its connection."""

    def __init__(self, answer):
        self.answer = answer
        self.requests = []
        self.paths = []
        self.heads = []
        self.left = asyncio.Event()
        self.port = 0

    @property
    def bodies(self):
        return [json.loads(raw) for raw in self.requests]

    async def serve(self, reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            raw = await reader.readexactly(int(length.split(b":")[1]))
            self.requests.append(raw)
            self.heads.append(head.lower())
            self.paths.append(head.split(b" ", 2)[1].decode())
            for step in self.answer(json.loads(raw), len(self.requests)):
                if isinstance(step, bytes):
                    writer.write(step)
                    await writer.drain()
                elif step is self.left:
                    await asyncio.wait_for(reader.read(1), PATIENCE)
                    self.left.set()
                else:
                    await asyncio.wait_for(step.wait(), PATIENCE)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def relaying(served):
    """`client, server = await relaying(answer, setting=...)`"""
    listeners = []

    async def start(answer, **settings):
        server = Server(answer)
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        listeners.append(listener)
        server.port = listener.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{server.port}/v1"
        chosen = {"upstream_retries": 0, "semantic": "off", **settings}
        client = await served(Settings(upstream_url=url, upstream_key=UPSTREAM_KEY, api_key=KEY, **chosen))
        return client, server

    yield start
    for listener in listeners:
        listener.close()
