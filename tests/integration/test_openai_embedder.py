"""The OpenAI-compatible embedder against a server on a real socket that answers as it is told."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from subsecond.config import Settings
from subsecond.errors import UpstreamError
from subsecond.semantic.embedders import openai


class Server:
    """Keeps what was asked; answers with `status` and `reply(request body)`."""

    def __init__(self, reply, status=200):
        self.reply = reply
        self.status = status
        self.heads = []
        self.bodies = []

    async def handle(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        body = json.loads(await reader.readexactly(length))
        self.heads.append(head)
        self.bodies.append(body)
        reply = self.reply(body)
        content = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        writer.write(
            b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            % (self.status, len(content))
            + content
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    @asynccontextmanager
    async def running(self):
        server = await asyncio.start_server(self.handle, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


def plain(body):
    """A list of numbers for each text, told apart by the text's length."""
    return {"data": [{"index": i, "embedding": [1, len(text)]} for i, text in enumerate(body["input"])]}


@asynccontextmanager
async def embedder(server, **fields):
    async with server.running() as url:
        fields = {name: url if value == "URL" else value for name, value in fields.items()}
        made = openai.build(Settings(**{"embedder_model": "tiny", "embedder_dim": 2, "upstream_retries": 0} | fields))
        try:
            yield made
        finally:
            await made.aclose()


async def test_many_texts_go_in_several_calls_and_come_back_in_order():
    server = Server(plain)
    texts = ["x" * length for length in range(1, 2 * openai.BATCH + 3)]
    async with embedder(server, upstream_url="URL") as made:
        vectors = await made.embed(texts)
    assert [len(body["input"]) for body in server.bodies] == [openai.BATCH, openai.BATCH, 2]
    assert (vectors[:, 1] / vectors[:, 0]).round().astype(int).tolist() == [len(text) for text in texts]


async def test_blank_texts_are_not_asked_for():
    server = Server(plain)
    async with embedder(server, upstream_url="URL") as made:
        assert (await made.embed(["", " \n"])).shape == (2, 2)
        assert not server.bodies
        await made.embed(["", "word", " "])
    assert server.bodies[0]["input"] == ["word"]


async def test_the_dimension_is_asked_of_models_that_can_be_shortened_only():
    server = Server(plain)
    async with embedder(server, upstream_url="URL") as made:
        await made.embed(["word"])
    async with embedder(server, upstream_url="URL", embedder_model="text-embedding-3-large") as made:
        await made.embed(["word"])
    assert [body.get("dimensions") for body in server.bodies] == [None, 2]


@pytest.mark.parametrize(("url", "key", "sent"), [("", "", "upstreams"), ("URL", "own", "own"), ("URL", "", "")])
async def test_a_key_goes_only_to_the_server_that_it_is_for(url, key, sent):
    server = Server(plain)
    upstream = "http://127.0.0.1:9/v1" if url else "URL"
    keys = {"upstream_key": "upstreams", "embedder_key": key}
    async with embedder(server, upstream_url=upstream, embedder_url=url, **keys) as made:
        await made.embed(["word"])
    assert (f"authorization: bearer {sent}\r\n" in server.heads[0]) == bool(sent)
    assert ("authorization" in server.heads[0]) == bool(sent)


WRONG = {
    "no json": b"oops",
    "no object": [],
    "no data": {},
    "data null": {"data": None},
    "none": {"data": []},
    "too many": {"data": [{"index": index, "embedding": [1, 2]} for index in (0, 1)]},
    "another index": {"data": [{"index": 1, "embedding": [1, 2]}]},
    "no index": {"data": [{"embedding": [1, 2]}]},
    "another dimension": {"data": [{"index": 0, "embedding": [1, 2, 3]}]},
    "zero": {"data": [{"index": 0, "embedding": [0, 0]}]},
    "text": {"data": [{"index": 0, "embedding": "no"}]},
}


@pytest.mark.parametrize("reply", WRONG.values(), ids=WRONG)
async def test_a_wrong_reply_is_an_error(reply):
    async with embedder(Server(lambda _: reply), upstream_url="URL") as made:
        with pytest.raises(UpstreamError):
            await made.embed(["word"])


async def test_a_refusal_is_the_upstreams_error():
    server = Server(lambda _: {"error": {"message": "no such model"}}, status=404)
    async with embedder(server, upstream_url="URL") as made:
        with pytest.raises(UpstreamError) as refused:
            await made.embed(["word"])
    assert refused.value.status == 404


async def test_texts_that_are_asked_for_at_the_same_time_share_a_call():
    server = Server(plain)
    async with embedder(server, embedder_url="URL") as made:
        rows = await asyncio.gather(*(made.embed(["x" * length]) for length in range(1, 6)))
    assert [len(body["input"]) for body in server.bodies] == [5]
    assert [round(float(row[0][1] / row[0][0])) for row in rows] == [1, 2, 3, 4, 5]


async def test_the_upstreams_secret_is_not_even_read_for_another_server():
    server = Server(plain)
    async with embedder(server, embedder_url="URL", embedder_key="sk-own", upstream_secret="none:nowhere") as made:
        await made.embed(["x"])
    assert "authorization: bearer sk-own" in server.heads[0]
