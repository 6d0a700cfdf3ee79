"""Requests that offer another protocol, as `MODE=app` takes them."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn

from subsecond_local.run.no_h2c_upgrade import NoH2cUpgrade

OFFER = b"host: x\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"


async def echo(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    answer = scope["path"].encode() + b" " + body
    head = [(b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": answer})


@pytest.fixture
async def connection():
    config = uvicorn.Config(echo, host="127.0.0.1", port=0, log_level="error", http=NoH2cUpgrade, lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
    yield reader, writer
    writer.close()
    await writer.wait_closed()
    server.should_exit = True
    await task


async def answered(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.split("content-length: ")[1].split("\r\n")[0])
    return int(head.split()[1]), await reader.readexactly(length)


@pytest.mark.parametrize("size", [1000, 40, 1], ids=["whole", "in parts", "byte by byte"])
@pytest.mark.parametrize(
    "framed", [b"content-length: 4\r\n\r\nbody", b"transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"]
)
async def test_the_body_arrives_and_so_does_the_next_request(connection, size, framed):
    reader, writer = connection
    raw = b"POST /one HTTP/1.1\r\n" + OFFER + framed + b"GET /two HTTP/1.1\r\n" + OFFER + b"\r\n"
    for start in range(0, len(raw), size):
        writer.write(raw[start : start + size])
        await asyncio.sleep(0)
    assert await answered(reader) == (200, b"/one body")
    assert await answered(reader) == (200, b"/two ")


async def test_a_tunnel_is_refused(connection):
    reader, writer = connection
    writer.write(b"CONNECT example.org:443 HTTP/1.1\r\nhost: example.org\r\n\r\n")
    assert (await answered(reader))[0] == 400
