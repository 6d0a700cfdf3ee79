"""The caches inside the caller's own process: OpenAI's package over `subsecond.transport`, streamed and whole."""

import asyncio
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from subsecond.config import Settings
from subsecond.streaming import Buffer, listen
from subsecond.transport import AsyncTransport, Transport
from tests.support.processes import UNHURRIED
from tests.support.simulator import SimulatorProcess

ROOT = Path(__file__).parents[2]

MODEL = "sim-t5-i1-n8"
# Four tokens, then nothing for ever.
ENDLESS = "sim-t0-i0-n8-fstall4"
SLOW = "sim-t300-i0-n8"
ADDRESS = "http://subsecond/v1"


def asked(text="How do I reset my password?", model=MODEL, **fields):
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


@pytest.fixture(params=[httpx2, httpx], ids=["httpx2", "httpx"])
def client(request, settings):
    transport = Transport(settings)
    with OpenAI(
        base_url=ADDRESS,
        api_key="unused",
        max_retries=0,
        timeout=30,
        http_client=request.param.Client(transport=transport),
    ) as found:
        yield found


@pytest.fixture(params=[httpx2, httpx], ids=["httpx2", "httpx"])
async def asynchronous(request, settings):
    transport = AsyncTransport(settings)
    async with AsyncOpenAI(
        base_url=ADDRESS,
        api_key="unused",
        max_retries=0,
        timeout=30,
        http_client=request.param.AsyncClient(transport=transport),
    ) as found:
        yield found


@pytest.fixture
def simulator():
    with SimulatorProcess() as found:
        yield found


def soon(holds):
    """Whether it comes true before a hang would be certain."""
    end = time.monotonic() + 20
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def answered(client, **fields):
    """The text, and who gave it."""
    raw = client.chat.completions.with_raw_response.create(**fields)
    return raw.parse().choices[0].message.content, raw.headers["cache-status"]


def test_a_client_has_both_caches(client):
    first, missed = answered(client, **asked())
    again, repeated = answered(client, **asked())
    other, reworded = answered(client, **asked("How can I reset my password?"))
    assert (missed, "detail=exact" in repeated, "detail=semantic" in reworded) == ("subsecond; fwd=miss", True, True)
    assert first == again == other


def test_a_stream_comes_as_it_is_said_and_is_cached(client):
    buffer = Buffer()
    for chunk in client.chat.completions.create(**asked(), stream=True, stream_options={"include_usage": True}):
        buffer.add(chunk)
    assert (buffer.metrics().tokens, len(buffer.text.split())) == (8, 8)
    raw = client.chat.completions.with_raw_response.create(**asked(), stream=True)
    assert "detail=exact" in raw.headers["cache-status"]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in raw.parse() if chunk.choices) == buffer.text


def test_what_was_said_is_there_before_the_end_and_who_leaves_ends_the_call(client):
    with client.chat.completions.create(**asked(model=ENDLESS), stream=True) as stream:
        said = [chunk.choices[0].delta.content for chunk, _ in zip(stream, range(4), strict=False)]
    assert any(said)
    assert answered(client, **asked())[0]


def test_who_leaves_ends_the_call_of_the_model(simulator):
    settings = Settings(upstream_url=simulator.base_url)
    http = httpx2.Client(transport=Transport(settings))
    with OpenAI(base_url=ADDRESS, api_key="unused", http_client=http) as client:
        with client.chat.completions.create(**asked(model=ENDLESS), stream=True) as stream:
            next(iter(stream))
            assert simulator.stats()["running"] == 1
        assert soon(lambda: simulator.stats()["running"] == 0)


async def test_an_asynchronous_one_that_leaves_does_so_too(simulator):
    settings = Settings(upstream_url=simulator.base_url)
    http = httpx2.AsyncClient(transport=AsyncTransport(settings))
    async with AsyncOpenAI(base_url=ADDRESS, api_key="unused", http_client=http) as client:
        async with await client.chat.completions.create(**asked(model=ENDLESS), stream=True) as stream:
            await anext(aiter(stream))
        assert await asyncio.to_thread(soon, lambda: simulator.stats()["running"] == 0)


def test_errors_are_those_of_a_gateway(client):
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.chat.completions.create(**asked(model="nobody"))
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**asked(messages=[]))
    assert client.models.list().data is not None


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_waits_no_longer_than_it_was_told(client, stream):
    with pytest.raises((openai.APITimeoutError, httpx.ReadTimeout, httpx2.ReadTimeout)):
        list(client.with_options(timeout=0.3).chat.completions.create(**asked(model=ENDLESS), stream=stream))


def test_threads_that_ask_the_same_at_once_share_a_call(client):
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: answered(client, **asked(model=SLOW)), range(4)))
    assert len({text for text, _ in found}) == 1
    assert sum(status == "subsecond; fwd=miss" for _, status in found) == 1


def test_closing_ends_the_thread(settings):
    transport = Transport(settings)
    with httpx2.Client(transport=transport) as http:
        assert http.get(f"{ADDRESS}/models").status_code == 200
        assert "subsecond" in {thread.name for thread in threading.enumerate()}
    assert "subsecond" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(RuntimeError):
        transport.handle_request(httpx2.Request("GET", f"{ADDRESS}/models"))
    Transport(settings).close()


def test_settings_that_do_not_fit_are_told_at_once(monkeypatch):
    monkeypatch.setenv("SUBSECOND_SEMANTIC", "maybe")
    with pytest.raises(ValueError, match="SUBSECOND_SEMANTIC"):
        Transport()


async def test_an_asynchronous_client_has_both_caches_and_shares_calls(asynchronous):
    create = asynchronous.chat.completions.with_raw_response.create
    together = await asyncio.gather(*(create(**asked(model=SLOW)) for _ in range(4)))
    assert sum(raw.headers["cache-status"] == "subsecond; fwd=miss" for raw in together) == 1
    repeated = await create(**asked(model=SLOW))
    reworded = await create(**asked("How can I reset my password?", model=SLOW))
    assert "detail=exact" in repeated.headers["cache-status"]
    assert "detail=semantic" in reworded.headers["cache-status"]


async def test_an_asynchronous_stream_is_listened_to_as_it_is_said(asynchronous):
    sentences = []
    stream = await asynchronous.chat.completions.create(**asked(), stream=True)
    whole = await listen(stream, on_sentence=sentences.append)
    assert len(whole.split()) == 8
    assert "".join(sentences) == whole
    async with await asynchronous.chat.completions.create(**asked(model=ENDLESS), stream=True) as endless:
        async for chunk in endless:
            if chunk.choices[0].delta.content:
                break


async def test_an_asynchronous_client_that_is_cancelled_leaves_nothing_running(simulator):
    transport = AsyncTransport(Settings(upstream_url=simulator.base_url))
    async with httpx2.AsyncClient(transport=transport, timeout=60) as http:
        call = asyncio.create_task(http.post(f"{ADDRESS}/chat/completions", json=asked(model=ENDLESS)))
        assert await asyncio.to_thread(soon, lambda: simulator.stats()["running"] == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await asyncio.to_thread(soon, lambda: simulator.stats()["running"] == 0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_the_lines_of_the_docs_work_as_they_stand(monkeypatch, capsys, simulator):
    monkeypatch.setenv("OPENAI_BASE_URL", simulator.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    for name, value in UNHURRIED.items():
        monkeypatch.setenv(name, value)
    caches, streams, _ = re.findall(r"```python\n(.*?)```", (ROOT / "docs/library.md").read_text(), re.DOTALL)
    names = {}
    exec(caches.replace("gpt-4o-mini", MODEL).replace("client.close()", ""), names)
    missed, reworded = capsys.readouterr().out.splitlines()
    assert missed.startswith("subsecond; fwd=miss")
    assert "detail=semantic" in reworded
    exec(streams.replace("gpt-4o-mini", MODEL), names)
    assert names["buffer"].metrics().tokens == 8
    names["client"].close()
