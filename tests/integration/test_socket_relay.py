"""The relay in front of a server behind a Unix socket: what is asked gets there, and so does a hanging up."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from subsecond_local.run.socket_relay import Relay

PATIENCE = 20


@pytest.fixture
def behind(tmp_path):
    """`async with behind(answer) as relay`: `answer(head, reader, writer)` plays the server."""

    @asynccontextmanager
    async def started(answer):
        async def serve(reader, writer):
            head = await reader.readuntil(b"\r\n\r\n")
            await answer(head.lower(), reader, writer)
            writer.close()

        server = await asyncio.start_unix_server(serve, tmp_path / "inner.sock")
        async with Relay(tmp_path / "inner.sock") as relay:
            yield relay
        server.close()

    return started


class Call:
    """One request, as an ASGI server hands it on."""

    def __init__(self, *parts):
        self.scope = {
            "method": "POST",
            "raw_path": b"/v1/chat%20x",
            "query_string": b"a=%20b",
            "headers": [(b"host", b"localhost:1"), (b"authorization", b"Bearer k"), (b"connection", b"keep-alive")],
        }
        self._parts = list(parts)
        self.left = asyncio.Event()
        self.sent = asyncio.Queue()

    async def receive(self):
        if self._parts:
            return {"type": "http.request", "body": self._parts.pop(0), "more_body": bool(self._parts)}
        await self.left.wait()
        return {"type": "http.disconnect"}

    def through(self, relay):
        return asyncio.wait_for(relay(self.scope, self.receive, self.sent.put), PATIENCE)


async def test_request_and_answer_pass_whole(behind):
    seen = []

    async def answer(head, reader, writer):
        seen.append((head, await reader.readexactly(4)))
        writer.write(b"HTTP/1.1 418 Teapot\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")

    call = Call(b"bo", b"dy")
    async with behind(answer) as relay:
        await call.through(relay)
    [(head, body)] = seen
    assert head.startswith(b"post /v1/chat%20x?a=%20b http/1.1\r\n")
    assert (head.count(b"host:"), b"localhost:1" in head, b"authorization: bearer k" in head) == (1, False, True)
    assert body == b"body"
    start, *pieces = [call.sent.get_nowait() for _ in range(call.sent.qsize())]
    assert (start["status"], start["headers"]) == (418, [(b"content-type", b"text/plain")])
    assert b"".join(piece["body"] for piece in pieces) == b"abc"
    assert [piece["more_body"] for piece in pieces][-1] is False


@pytest.mark.parametrize("begun", [False, True], ids=["before the answer", "within the answer"])
async def test_a_client_that_hangs_up_hangs_up_there_too(behind, begun):
    asked, ended = asyncio.Event(), asyncio.Event()

    async def answer(_head, reader, writer):
        if begun:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nfirst")
        await reader.readexactly(1)
        asked.set()
        assert await reader.read() == b""
        ended.set()

    call = Call(b"?")
    async with behind(answer) as relay:
        task = asyncio.ensure_future(call.through(relay))
        await asyncio.wait_for(asked.wait(), PATIENCE)
        if begun:
            assert [(await call.sent.get())["type"] for _ in range(2)] == ["http.response.start", "http.response.body"]
        call.left.set()
        await task
        await asyncio.wait_for(ended.wait(), PATIENCE)


async def test_a_server_that_breaks_off_is_an_error(behind):
    async def answer(_head, reader, writer):
        await reader.readexactly(1)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nfirst")

    async with behind(answer) as relay:
        with pytest.raises(Exception, match="peer closed"):
            await Call(b"?").through(relay)


async def test_what_is_refused_gets_no_further(tmp_path):
    call = Call(b"bo", b"dy")
    call.scope["path"] = "/v1/x"
    # Nothing listens there.
    async with Relay(tmp_path / "inner.sock", lambda path, body: (404, b"%b %b" % (path.encode(), body))) as relay:
        await call.through(relay)
    start, body = (call.sent.get_nowait() for _ in range(call.sent.qsize()))
    assert (start["status"], body["body"]) == (404, b"/v1/x body")
