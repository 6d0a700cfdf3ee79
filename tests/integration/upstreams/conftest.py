import asyncio
from importlib import import_module

import pytest

from subsecond.config import Settings
from tests.support.raw_server import RawServer

KEY = "sk-ours-0123456789"


@pytest.fixture
async def serving():
    """`upstream, server = await serving([steps], ..., setting=...)`"""
    opened = []

    async def serve(*script, path="/v1", adapter="openai", **settings):
        server = RawServer(script)
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        chosen = {"upstream_key": KEY, "upstream_retries": 0, **settings}
        build = import_module(f"subsecond.upstreams.{adapter}").build
        upstream = build(Settings(upstream_url=f"http://127.0.0.1:{port}{path}", **chosen))
        opened.append((listener, upstream, server))
        return upstream, server

    yield serve
    for listener, upstream, server in opened:
        await upstream.aclose()
        listener.close()
        await server.gone()
    await asyncio.sleep(0.001)
    assert asyncio.all_tasks() == {asyncio.current_task()}, "a task was left behind"
