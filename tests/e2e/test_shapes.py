"""What openai-python makes of every shape of the corpus: of the server itself, and through the gateway."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import openai
import pytest
import uvicorn

from subsecond.api.app import create_app
from subsecond.bootstrap import gateway
from subsecond.config import Settings
from tests.support.shapes import corpus, said, wire

OURS, THEIRS = "sk-gateway-0123456789", "sk-upstream-0123456789"
AT_ONCE = 8
SHAPES = corpus()
# Fields of the request that the client's own methods name; others go by `extra_body`.
NAMED = {"model", "prompt", "stream", "stream_options", "encoding_format", "extra_headers"}
# Headers of an error that a client acts on. The upstream's request id has a name of its own.
ACTED_ON = ("retry-after", "retry-after-ms", "x-ratelimit")
# What `/v1/completions` says beside OpenAI's fields.
PLAIN = ("response", "cached", "cache_type", "latency_ms")
# Shapes in another form than they were asked for, which the client alone can make nothing of: told in the asked one.
OTHER_FORM = {"stream-to-a-whole-request", "json-to-a-stream-request"}
# Framing that the client alone stumbles over: told without it, event for event.
STUMBLES = {"bom", "framing"}


@dataclass
class Heard:
    """One request as openai-python saw it: the bytes on its socket, what it parsed, how it failed."""

    raw: bytes = b""
    headers: dict = field(default_factory=dict)
    parsed: list = field(default_factory=list)
    failed: Exception | None = None

    @property
    def hit(self):
        return "; hit" in self.headers.get("cache-status", "")

    @property
    def payloads(self):
        """What the cache replays: a body without what only this request is told, a stream without its comments."""
        if self.headers["content-type"].startswith("text/event-stream"):
            return [line for line in self.raw.split(b"\n") if line and not line.startswith(b":")]
        return [self.raw.partition(b',"response":')[0]]

    @property
    def answer(self):
        return [without_plain(one) if isinstance(one, dict) else one for one in self.parsed]

    @property
    def answers(self):
        """Whether it has a choice, or (embeddings) data."""
        return any(isinstance(one, dict) and (one.get("choices") or one.get("data")) for one in self.parsed)


@dataclass
class Seen:
    """A shape as the server says it, through the gateway, again, and from the cache in the other form."""

    direct: Heard
    first: Heard
    again: Heard
    other: Heard


class Listening(httpx.AsyncBaseTransport):
    """openai-python's own transport, and a copy of what comes in by it."""

    def __init__(self, inner):
        self.heard = Heard()
        self._inner = inner

    async def handle_async_request(self, request):
        response = await self._inner.handle_async_request(request)
        self.heard.headers = dict(response.headers)
        return httpx.Response(response.status_code, headers=response.headers, stream=Copied(self.heard, response))


class Copied(httpx.AsyncByteStream):
    def __init__(self, heard, response):
        self._heard, self._response = heard, response

    async def __aiter__(self):
        async for part in self._response.aiter_raw():
            self._heard.raw += part
            yield part

    async def aclose(self):
        await self._response.aclose()


@dataclass
class Caller:
    base: str
    key: str
    inner: httpx.AsyncHTTPTransport

    async def hear(self, shape, *, stream, **headers):
        transport = Listening(self.inner)
        http = httpx.AsyncClient(transport=transport)
        client = openai.AsyncOpenAI(base_url=self.base, api_key=self.key, max_retries=0, http_client=http)
        heard = transport.heard
        try:
            found = await ask(client, shape, stream, headers)
            if isinstance(found, openai.AsyncStream):
                async for chunk in found:
                    heard.parsed.append(plain(chunk))
            else:
                heard.parsed.append(plain(found))
        except (openai.OpenAIError, ValueError) as error:
            heard.failed = error
        return heard


def plain(parsed):
    return parsed.model_dump(exclude_unset=True, warnings=False) if isinstance(parsed, openai.BaseModel) else parsed


def without_plain(body):
    return {name: value for name, value in body.items() if name not in PLAIN}


def ask(client, shape, stream, headers):
    words = {**shape["request"], "model": shape["name"], "extra_headers": headers, "stream": stream}
    if headers.get("cache-control") and stream:
        words["stream_options"] = {"include_usage": True}
    elif not stream:
        words.pop("stream_options", None)
    words["extra_body"] = {name: words.pop(name) for name in list(words) if name not in NAMED}
    if shape["endpoint"] == "embeddings":
        del words["stream"]
        return client.embeddings.create(input="How many?", **words)
    if shape["endpoint"] == "text":
        return client.completions.create(**{"prompt": "How many?", **words})
    return client.chat.completions.create(messages=[{"role": "user", "content": "How many?"}], **words)


async def serve(reader, writer):
    """A server that says of each model what the corpus says."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    body = json.loads(await reader.readexactly(int(length.split(b":")[1])))
    writer.write(wire(SHAPES[body["model"]]))
    await writer.drain()
    writer.close()


@asynccontextmanager
async def running():
    """A caller of the server, and one of the gateway before it."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    settings = Settings(
        upstream_url=url, upstream_key=THEIRS, api_key=OURS, semantic="off", upstream_retries=0, list_prompts=True
    )
    config = uvicorn.Config(create_app(gateway(settings)), host="127.0.0.1", port=0, log_level="error", lifespan="on")
    front = uvicorn.Server(config)
    task = asyncio.create_task(front.serve())
    while not front.started:
        assert not task.done(), task
        await asyncio.sleep(0.005)
    async with httpx.AsyncHTTPTransport() as inner:
        through = f"http://127.0.0.1:{front.servers[0].sockets[0].getsockname()[1]}/v1"
        yield Caller(url, THEIRS, inner), Caller(through, OURS, inner)
    front.should_exit = True
    await task
    server.close()


async def see_all():
    seen = {}
    places = asyncio.Semaphore(AT_ONCE)

    async def see(shape):
        stream = bool(shape["request"].get("stream"))
        async with places:
            direct = await theirs.hear(shape, stream=stream)
            first = await ours.hear(shape, stream=stream)
            again = await ours.hear(shape, stream=stream)
            other = Heard()
            if shape["endpoint"] != "embeddings":
                other = await ours.hear(shape, stream=not stream, **{"cache-control": "only-if-cached"})
            seen[shape["name"]] = Seen(direct, first, again, other)

    async with running() as (theirs, ours):
        await asyncio.gather(*map(see, SHAPES.values()))
    return seen


@pytest.fixture(scope="module")
def seen():
    """Every shape, seen once for all tests."""
    return asyncio.run(see_all())


@pytest.mark.parametrize("name", SHAPES)
def test_the_client_hears_what_the_server_says(seen, name):
    shape, direct, first = SHAPES[name], seen[name].direct, seen[name].first
    odd = set(shape["kinds"])
    if direct.failed is not None and not (odd & STUMBLES and first.answers):
        fails_alike(direct, first, odd)
    elif odd & OTHER_FORM:
        assert said(first.answer)["choices"] == said(chunks_of(direct))["choices"]
    elif of_many(shape):
        assert said(first.answer)["choices"] == said(direct.answer)["choices"]
    elif odd & STUMBLES and first.answers:
        # It hears all that the client heard before it stumbled, and the rest.
        assert [one for one in shown(first.answer) if one in shown(direct.answer)] == shown(direct.answer)
    elif direct.answers:
        assert first.failed is None
        assert shown(first.answer) == shown(wanted(direct.answer, shape))
    else:
        # An error in disguise, or nothing at all.
        assert isinstance(first.failed, openai.APIStatusError)
        assert first.failed.status_code >= 400


def of_many(shape):
    """A list of prompts: the gateway asks for each one, keeps each one and counts each one."""
    return isinstance(shape["request"].get("prompt"), list)


def wanted(answer, shape):
    """Without the chunk of usage that this client has not asked for."""
    asked = (shape["request"].get("stream_options") or {}).get("include_usage")
    if asked or not shape["request"].get("stream"):
        return answer
    return [chunk for chunk in answer if chunk.get("choices") or not chunk.get("usage")]


def shown(answer):
    """For comparing: NaN is no other NaN's equal."""
    return [json.dumps(one, sort_keys=True) for one in answer]


def chunks_of(heard):
    """What a client could read that knew the form in which the answer came."""
    events = [line[6:] for line in heard.raw.split(b"\n") if line.startswith(b"data: {")]
    return [json.loads(event) for event in events or [heard.raw]]


def fails_alike(direct, through, odd):
    theirs, ours = direct.failed, through.failed
    assert len(through.parsed) == len(direct.parsed)
    if not isinstance(theirs, openai.APIError):
        # The client cannot read it. A body and a first event are told as errors; what has begun is passed on.
        assert type(ours) is type(theirs) if through.parsed else getattr(ours, "status_code", None) == 502
        return
    assert isinstance(ours, openai.APIError)
    if isinstance(theirs, openai.APIStatusError):
        if ours.code == "upstream_auth":
            assert ours.status_code == 502
            assert theirs.status_code == 401 or "API key" in theirs.response.text
            return
        assert type(ours) is type(theirs)
        assert ours.status_code == theirs.status_code
    same_words(theirs, ours, direct.raw, odd)
    for name, value in direct.headers.items():
        assert not name.startswith(ACTED_ON) or through.headers.get(name) == value, name


def same_words(theirs, ours, raw, odd):
    assert ours.code == theirs.code or not theirs.code
    assert ours.type == theirs.type or not theirs.type
    if isinstance(theirs.body, dict) and isinstance(theirs.body.get("message"), str):
        assert ours.body["message"] == theirs.body["message"]
    elif theirs.body and "html" not in odd:
        # No shape that the client knows: it shows the body, we show the words in it.
        assert ours.body["message"].rpartition(": ")[2] in raw.decode()


@pytest.mark.parametrize("name", SHAPES)
def test_a_repeat_is_the_same_and_a_hit_where_the_answer_may_be_kept(seen, name):
    shape, first, again = SHAPES[name], seen[name].first, seen[name].again
    if of_many(shape):
        assert again.hit is False  # of a list's prompts each may be a hit or not
        return
    if shape["endpoint"] == "embeddings":
        # Each vector has the bytes that the server gave it; a list with a text in it is no vector.
        assert again.hit is (first.failed is None and name != "vllm-embeddings-list-of-one-string")
        if again.hit:
            told, known = (json.loads(one.raw)["data"] for one in (again, first))
            assert told == known
        return
    assert again.hit is (first.failed is None and shape["expect"]["cached"])
    assert again.hit is shape["expect"]["cached"]
    if again.hit:
        assert again.payloads == first.payloads
        assert shown(again.answer) == shown(first.answer)


@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if shape["expect"]["cached"]])
def test_the_other_form_says_the_same_or_is_a_miss(seen, name):
    shape, found, odd = SHAPES[name], seen[name], set(SHAPES[name]["kinds"])
    if of_many(shape):
        return
    assert found.other.hit is shape["expect"]["converts"]
    if found.other.hit:
        known = found.first if odd & STUMBLES else found.direct
        assert said(found.other.answer) == said(chunks_of(known) if odd & OTHER_FORM else known.answer)
    else:
        assert found.other.failed.code == "not_cached"


def test_nine_of_ten_answers_are_hits_in_the_other_form(seen):
    kept = [name for name, shape in SHAPES.items() if shape["expect"]["cached"] and not of_many(shape)]
    hits = [name for name in kept if seen[name].other.hit]

    assert len(hits) >= 0.9 * len(kept), f"{len(hits)} of {len(kept)}: {len(hits) / len(kept):.1%}"
