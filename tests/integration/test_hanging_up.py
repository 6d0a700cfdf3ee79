"""Clients that leave, seen from a plain process over a real socket."""

import asyncio
import json
from dataclasses import replace

from subsecond.bootstrap import gateway
from subsecond.ports import Reply
from tests.support.http import PATIENCE


class WatchedStream:
    """A stream that tells how it ended."""

    headers = ()

    def __init__(self, stream, ended):
        self._stream, self._ended, self._over = stream, ended, False

    async def next(self):
        chunk = await self._stream.next()
        if chunk is None:
            self._end("complete")
        return chunk

    def close(self):
        self._stream.close()
        self._end("closed")

    def _end(self, how):
        if not self._over:
            self._over = True
            self._ended.put_nowait(how)


class Watched:
    """The simulator, with its ends counted."""

    def __init__(self, upstream):
        self._upstream = upstream
        self.ended = asyncio.Queue()
        self.asked = asyncio.Event()

    async def ask(self, call):
        self.asked.set()
        try:
            found = await self._upstream.ask(call)
        except asyncio.CancelledError:
            self.ended.put_nowait("cancelled")
            raise
        if isinstance(found, Reply):
            self.ended.put_nowait("complete")
            return found
        return WatchedStream(found, self.ended)

    async def fetch(self, path, body, deadline):
        return await self._upstream.fetch(path, body, deadline)


async def leave_after(base, body, marker=None, asked=None):
    """Sends a request, and closes the connection as soon as `marker` was received, or `asked` is set."""
    host, port = base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    raw = json.dumps(body).encode()
    lines = (
        "POST /v1/chat/completions HTTP/1.1",
        "Host: x",
        "Authorization: Bearer sk-test",
        f"Content-Length: {len(raw)}",
    )
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + raw)
    await writer.drain()
    if marker:
        await reader.readuntil(marker)
    else:
        await asyncio.wait_for(asked.wait(), PATIENCE)
    writer.close()
    await writer.wait_closed()


def body(model, *, stream):
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}


async def test_leaving_mid_stream_or_before_the_first_token_closes_the_upstream_call(served, settings):
    made = gateway(settings)
    watched = Watched(made.models.upstream)
    client = await served(gateway=replace(made, models=replace(made.models, upstream=watched)))
    for model, stream, marker in (
        ("sim-t0-i20-n1000", True, b"content"),
        ("sim-t60000-i0-n1", True, None),
        ("sim-t0-i20-n1000", False, None),
    ):
        watched.asked.clear()
        await leave_after(client.base, body(model, stream=stream), marker, watched.asked)
        assert await asyncio.wait_for(watched.ended.get(), PATIENCE) in ("closed", "cancelled")
    assert len(made.exact) == 0
    assert (await client.chat()).status == 200


async def test_leaving_before_the_body_is_out_is_no_failure(served, settings, caplog):
    made = gateway(settings)
    client = await served(gateway=made)
    whole = json.dumps(body("sim-t0-i0-n1", stream=False)).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", int(client.base.rpartition(":")[2]))
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-test\r\n")
    writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(whole), whole[:-1]))
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    seen = await client.send("GET", "/v1/cache/stats")
    while not seen.json["requests"]:
        seen = await client.send("GET", "/v1/cache/stats")
    assert seen.json["errors"] == {"4xx": 0, "5xx": 0, "closed": 1}
    assert caplog.text == ""


async def test_leaving_after_done_loses_nothing(served, settings):
    made = gateway(settings)

    class Slow:
        """A store whose writes take their time."""

        def __init__(self):
            self.written = asyncio.Event()

        async def get(self, partition, key, form):
            return await made.exact.get(partition, key, form)

        async def put(self, entry):
            await asyncio.sleep(0.1)
            result = await made.exact.put(entry)
            self.written.set()
            return result

    slow = Slow()
    client = await served(gateway=replace(made, exact=slow))
    await leave_after(client.base, body("sim-t0-i0-n4", stream=True), b"[DONE]")
    await asyncio.wait_for(slow.written.wait(), PATIENCE)
    assert len(made.exact) == 1
