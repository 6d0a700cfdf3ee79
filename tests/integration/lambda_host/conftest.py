"""A Lambda host with one function, and a client that reads the bytes as they come."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from subsecond_local.lambda_host import Function, LambdaHost, UrlRoute

ROOT = Path(__file__).parents[3]


class Client:
    """One connection."""

    # As boto3 sends it; the signature itself is not looked at.
    signed = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=0"

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer
        self.port = writer.get_extra_info("peername")[1]

    async def send(self, method, target, body=b"", **headers):
        headers.setdefault("host", f"localhost:{self.port}")
        lines = [f"{method} {target} HTTP/1.1", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "\r\n"]).encode() + body)
        await self.writer.drain()
        self.method = method

    async def head(self):
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = [tuple(line.lower().split(": ", 1)) for line in lines[1:] if line]
        return self.status

    def header(self, name):
        return [value for key, value in self.headers if key == name]

    async def chunk(self):
        """The next chunk; empty at the end."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    async def body(self):
        if self.method == "HEAD" or self.status == 204:
            return b""
        if length := self.header("content-length"):
            return await self.reader.readexactly(int(length[0]))
        body = b""
        while data := await self.chunk():
            body += data
        return body

    async def count(self, sizes):
        """Read to the end, keeping the chunks' sizes alone."""
        while data := await self.chunk():
            sizes.append(len(data))

    async def invoke(self, body, name="fn", **headers):
        """Through the Invoke API."""
        path = f"/2015-03-31/functions/{name}/invocations"
        return await self.ask("POST", path, body, **{"authorization": self.signed, **headers})

    async def ask(self, method, target, body=b"", **headers):
        await self.send(method, target, body, **headers)
        return await self.head(), await self.body()

    async def patient(self, target):
        """As `ask`, and again while no environment came up within the function's timeout: 429, as it should be. For a
        short timeout, which a start on a busy machine may exceed.
        """
        for _ in range(20):
            if (answer := await self.ask("GET", target))[0] != 429:
                break
        return answer


@pytest.fixture
def functions():
    """The folder of the functions that the tests deploy."""
    return ROOT / "tests" / "data" / "functions"


@pytest.fixture
def wrapper():
    return ROOT / "shared" / "stream-runtime"


@pytest.fixture
async def connect():
    """`await connect(host)` is a new connection."""
    writers = []

    async def make(host):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(host.url.rpartition(":")[2]))
        writers.append(writer)
        return Client(reader, writer)

    yield make
    for writer in writers:
        writer.close()
        await writer.wait_closed()


@pytest.fixture
def output(tmp_path):
    """Where the functions print."""
    with (tmp_path / "output").open("wb") as file:
        yield file


@pytest.fixture
def printed(tmp_path):
    """`printed()`: what they have printed."""
    return (tmp_path / "output").read_text


@pytest.fixture
def serve(tmp_path, output, functions):
    """`async with serve("plain.echo", ...) as host`: one function behind every path."""

    @asynccontextmanager
    async def make(handler, **fields):
        environment = {"GATE": str(tmp_path), **fields.pop("environment", {})}
        function = Function("fn", functions, handler, environment=environment, **fields)
        async with LambdaHost([function], [UrlRoute("/", "fn")], output=output) as host:
            yield host

    return make


@pytest.fixture
def stream(serve, wrapper):
    """`async with stream(...) as host`: the streaming function, started through the exec wrapper."""
    return lambda handler="streaming.handler", **fields: serve(
        handler, mode="RESPONSE_STREAM", wrapper=wrapper, **fields
    )


@pytest.fixture
def until():
    """`await until(condition)`: poll what happens in another process."""

    async def wait(condition):
        while not (result := condition()):  # noqa: ASYNC110 - there is no event across processes
            await asyncio.sleep(0.005)
        return result

    return wait
