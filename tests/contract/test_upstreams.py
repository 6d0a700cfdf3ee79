"""What every upstream promises, on the simulator's models: in the process, and over HTTP."""

import asyncio
import json
from dataclasses import replace
from importlib import import_module
from time import monotonic

import pytest

import subsecond.upstreams
from subsecond.config import Settings
from subsecond.errors import DeadlineExceeded, SubsecondError, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from subsecond.upstreams.bedrock import BedrockUpstream
from tests.support.adapters import modules
from tests.support.asking import collect
from tests.support.simulator import BedrockProcess, SimulatorProcess

ADAPTERS = [*modules(subsecond.upstreams), "subsecond_local.simulator.adapter"]


@pytest.fixture(scope="module")
def server():
    with SimulatorProcess(key="sk-up") as process:
        yield process


@pytest.fixture(scope="module")
def bedrock():
    with BedrockProcess() as process:
        yield process


@pytest.fixture
def idle_timeout():
    """Unhurried. The test of silence names its own."""
    return 20.0


@pytest.fixture(params=ADAPTERS)
async def upstream(request, server, bedrock, monkeypatch, idle_timeout):
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", bedrock.url)
    settings = Settings(
        upstream_url=server.base_url, upstream_key="sk-up", upstream_retries=0, idle_timeout=idle_timeout
    )
    made = import_module(request.param).build(settings)
    yield made
    if hasattr(made, "aclose"):
        await made.aclose()


async def payloads(upstream, call):
    return [json.loads(payload) for payload in await collect(upstream, replace(call, form="stream"))]


def test_the_adapters_were_found():
    assert {
        "subsecond.upstreams.bedrock",
        "subsecond.upstreams.openai",
        "subsecond.upstreams.openai_package",
        "subsecond_local.simulator.adapter",
    } <= set(ADAPTERS)


@pytest.mark.parametrize("endpoint", ["chat", "text"])
async def test_a_complete_answer_with_its_usage_and_without_done(upstream, ask, endpoint):
    call = ask(prompt="Hello?")
    got = await payloads(upstream, replace(call, endpoint=endpoint))
    assert [choice["finish_reason"] for chunk in got for choice in chunk["choices"]][-1] == "stop"
    assert any(chunk.get("usage") for chunk in got)
    assert len(got) > 8


@pytest.mark.parametrize(
    ("model", "error", "status"),
    [
        ("nobody", UpstreamError, 404),
        ("sim-t0-i0-n8-fstatus400", UpstreamError, 400),
        ("sim-t0-i0-n8-fstatus429", UpstreamError, 429),
        ("sim-t0-i0-n8-ftruncate3", UpstreamUnreachable, 502),
    ],
)
async def test_whatever_is_not_complete_is_an_error(upstream, ask, model, error, status):
    with pytest.raises(error) as caught:
        await payloads(upstream, ask(model=model))
    assert caught.value.status == status


@pytest.mark.parametrize("idle_timeout", [0.3])
async def test_silence_is_an_error(upstream, ask):
    with pytest.raises(UpstreamTimeout) as caught:
        await payloads(upstream, ask(model="sim-t0-i0-n8-fstall3"))
    assert caught.value.status == 504


@pytest.mark.parametrize("endpoint", ["chat", "text"])
async def test_a_whole_call_has_a_whole_reply_that_says_what_the_stream_says(upstream, ask, endpoint):
    call = replace(ask(prompt="Hello?"), endpoint=endpoint, form="whole")
    reply = await upstream.ask(call)
    assert (reply.status, reply.content_type) == (200, "application/json")
    found, streamed = json.loads(reply.body), await payloads(upstream, call)
    assert found["usage"] == next(chunk["usage"] for chunk in streamed if chunk.get("usage"))
    assert found["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [("status503", UpstreamError, 503), ("truncate3", UpstreamUnreachable, 502), ("errorevent3", UpstreamError, 500)],
)
async def test_faults_meet_whole_replies_too(upstream, ask, fault, error, status):
    with pytest.raises(error) as caught:
        await upstream.ask(replace(ask(model=f"sim-t0-i0-n8-f{fault}"), form="whole"))
    assert caught.value.status == status


async def test_an_error_within_a_stream_is_an_event_like_any_other(upstream, ask):
    found = await payloads(upstream, ask(model="sim-t0-i0-n8-ferrorevent3"))
    assert found[-1]["error"]["code"] in ("simulated_error", "model_error")


async def test_an_end_without_done_behind_a_whole_event_is_an_end(upstream, ask):
    assert (await payloads(upstream, ask(model="sim-t0-i0-n8-fnodone")))[-1]["usage"]


async def test_the_deadline_ends_it(upstream, ask):
    with pytest.raises(DeadlineExceeded):
        await payloads(upstream, replace(ask(model="sim-t60000-i0-n1"), deadline=monotonic() + 0.05))


async def test_closing_early_is_harmless(upstream, ask):
    stream = await upstream.ask(replace(ask(model="sim-t0-i20-n500"), form="stream"))
    await stream.next()
    stream.close()
    assert await payloads(upstream, ask())


async def test_many_at_once_do_not_mix(upstream, ask):
    texts = [f"question {place}" for place in range(16)]
    alone = [await payloads(upstream, ask(text)) for text in texts]
    together = await asyncio.gather(*(payloads(upstream, ask(text)) for text in texts))

    def said(chunks):
        return [choice["delta"] for chunk in chunks for choice in chunk["choices"]]

    assert list(map(said, together)) == list(map(said, alone))


async def test_models_and_embeddings_are_fetched(upstream):
    models = await upstream.fetch("/models", None, None)
    assert json.loads(models.body)["object"] == "list"
    model = "amazon.titan-embed-text-v2:0" if isinstance(upstream, BedrockUpstream) else "sim-t0-i0-n1"
    vectors = await upstream.fetch("/embeddings", {"model": model, "input": ["a", "b"]}, None)
    assert len(json.loads(vectors.body)["data"]) == 2
    with pytest.raises(SubsecondError):
        await upstream.fetch("/embeddings", {"model": "nobody", "input": "a"}, None)
