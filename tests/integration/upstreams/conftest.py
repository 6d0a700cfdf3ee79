import asyncio
from functools import partial
from importlib import import_module

import pytest

from subsecond.config import Settings
from tests.support.raw_server import RawServer
from tests.support.virtual_time import VirtualLoop

KEY = "sk-ours-0123456789"
# Real seconds for bytes on loopback to arrive, before time moves on. They are there at once, but for a busy kernel.
PATIENCE = 0.05


def pytest_asyncio_loop_factories(config, item):
    """`@pytest.mark.asyncio(loop_factories=["virtual"])`: server and client are in this process, and time passes only
    when both wait. So no pause of the machine counts as silence."""
    marker = item.get_closest_marker("asyncio")
    virtual = marker is not None and "loop_factories" in marker.kwargs
    return {"virtual": partial(VirtualLoop, patience=PATIENCE)} if virtual else {"real": asyncio.new_event_loop}


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
    # The server's own tasks end in the next turns; whatever is left behind does not.
    async with asyncio.timeout(5):
        while asyncio.all_tasks() != {asyncio.current_task()}:  # noqa: ASYNC110 - tasks have no event
            await asyncio.sleep(0.001)
