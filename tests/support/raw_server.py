"""A server of models on loopback that says exact bytes from a script."""

import asyncio
import json

from subsecond.model import Chunk
from subsecond.streaming.sse import DONE, encode

HANG, CLOSE = "hang", "close"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def part(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(payload):
    return part(encode(Chunk(payload)))


def answer(*payloads):
    """A good stream, whole."""
    return [HEAD + b"".join(map(event, payloads)) + part(DONE) + END]


def reply(status, body, *headers, kind=b"application/json"):
    """A good response, whole."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [b"HTTP/1.1 %d X" % status, b"content-type: " + kind, b"content-length: %d" % len(data), *headers]
    return [b"\r\n".join([*lines, b"", data])]


class RawServer:
    """For each request a list of bytes to send, seconds to wait, HANG (until the client leaves) and CLOSE. The last
    list is for all requests to come. What was asked is kept (first line, head, bytes of the body), and who left."""

    def __init__(self, script):
        self.script = list(script)
        self.requests = []
        self.asked = asyncio.Event()
        self.left = []

    @property
    def connections(self):
        return len(self.left)

    def body(self, number=0):
        """The JSON of that request's body."""
        return json.loads(self.requests[number][2])

    async def gone(self):
        """Until every client has closed."""
        await asyncio.wait_for(asyncio.gather(*self.left), 100)

    async def serve(self, reader, writer):
        left = asyncio.get_running_loop().create_future()
        self.left.append(left)
        try:
            while True:
                self.requests.append(await self.request(reader))
                self.asked.set()
                steps = self.script[min(len(self.requests), len(self.script)) - 1]
                if not await self.play(steps, reader, writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            left.set_result(None)

    async def request(self, reader):
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")[:-2]
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return first, head.decode(), await reader.readexactly(int(headers.get("content-length", 0)))

    async def play(self, steps, reader, writer):
        for step in steps:
            if step == CLOSE:
                return False
            if step == HANG:
                await reader.read(1)
                return False
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            else:
                await asyncio.sleep(step)
        return True
