"""A server behind the fault proxy can be taken away in each way, and comes back."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from tests.support.fault_proxy import FaultProxy, response

SERVER_SAYS, PROXY_SAYS = response("200 OK", b"{}"), response("500 No", b'{"error":1}')
ASKED = b"POST / HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-length: 2\r\n\r\n{}"


@asynccontextmanager
async def served():
    """A proxy before a server, and what that is asked."""
    seen = []

    async def serve(reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n"):
            seen.append(head + await reader.readexactly(2))
            writer.write(SERVER_SAYS)

    async def quietly(reader, writer):
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(quietly, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with FaultProxy(port, {"5xx": (PROXY_SAYS,)}) as proxy:
            yield proxy, port, seen


async def test_while_it_refuses_its_port_stays_its_own():
    async with served() as (proxy, port, seen):
        await proxy.switch("refused")
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", proxy.port))
        await proxy.switch("")
        assert await ask(proxy) == SERVER_SAYS
        assert seen == [ASKED % port]


async def ask(proxy, connection=None, patience=20):
    reader, writer = connection or await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(ASKED % proxy.port)
    try:
        return await asyncio.wait_for(reader.read(1_000), timeout=patience)
    finally:
        writer.close()


async def test_what_is_asked_reaches_the_server_under_its_own_name():
    async with served() as (proxy, port, seen):
        assert await ask(proxy) == SERVER_SAYS
        assert seen == [ASKED % port]


@pytest.mark.parametrize(
    ("fault", "error"),
    [("refused", ConnectionRefusedError), ("reset", ConnectionResetError), ("blackholed", TimeoutError)],
)
async def test_the_network_fails_and_comes_back(fault, error):
    async with served() as (proxy, _, seen):
        await proxy.switch(fault)
        with pytest.raises(error):
            await ask(proxy, patience=0.2 if error is TimeoutError else 20)
        await proxy.switch("")
        assert await ask(proxy) == SERVER_SAYS
        assert len(seen) == 1


@pytest.mark.parametrize("fault", ["refused", "reset"])
async def test_an_open_connection_meets_it_too(fault):
    async with served() as (proxy, _, seen):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(ASKED % proxy.port)
        await reader.readexactly(len(SERVER_SAYS))
        await proxy.switch(fault)
        with pytest.raises(ConnectionError):
            await ask(proxy, (reader, writer))
        assert len(seen) == 1


async def test_the_proxy_answers_in_the_servers_place():
    async with served() as (proxy, _, seen):
        await proxy.switch("5xx")
        assert await ask(proxy) == PROXY_SAYS
        assert seen == []
