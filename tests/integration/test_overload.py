"""More requests than the upstream can take: some are answered, the rest is refused in words that clients know."""

import asyncio
from dataclasses import replace

import pytest

from subsecond.bootstrap import gateway

SLOW = "sim-t300-i0-n4"


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_past_the_bound_and_the_queue_is_429_with_a_retry_after(served, settings, stream):
    client = await served(replace(settings, model_calls=2, waiting_calls=2, waiting_time=60.0))
    seen = await asyncio.gather(*(client.chat(f"Question {n}?", model=SLOW, stream=stream) for n in range(8)))
    statuses = sorted(one.status for one in seen)
    assert statuses == [200] * 4 + [429] * 4
    for one in seen:
        if one.status == 429:
            assert one.json["error"]["code"] == "overloaded"
            assert one.headers["retry-after"] == "1"
            assert one.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/models", "/v1/models/sim"])
async def test_embeddings_and_models_are_admitted_like_completions(served, settings, path):
    made = gateway(replace(settings, model_calls=1, waiting_calls=0))
    client = await served(gateway=made)
    model = SLOW if path == "/v1/embeddings" else "/models"
    async with made.models.admission.place(model, "another's"):
        body = {"model": SLOW, "input": "a"}
        seen = await (client.post(path, body) if path == "/v1/embeddings" else client.send("GET", path))
    assert seen.status == 429
    assert seen.json["error"]["code"] == "overloaded"
    assert seen.headers["retry-after"] == "1"


async def test_hits_are_served_while_the_upstream_is_full(served, settings):
    made = gateway(replace(settings, model_calls=1, waiting_calls=0))
    client = await served(gateway=made)
    await client.chat("Known?", model=SLOW)
    async with made.models.admission.place(SLOW, "another's"):
        assert (await client.chat("New?", model=SLOW)).status == 429
        assert (await client.chat("Known?", model=SLOW)).headers["cache-status"].startswith("subsecond; hit")


async def test_a_batch_says_which_of_its_prompts_were_refused(served, settings):
    client = await served(replace(settings, model_calls=1, waiting_calls=1, batch_concurrency=4))
    body = {"model": SLOW, "prompts": ["a", "b", "c", "d"]}
    seen = await client.post("/v1/completions/batch", body)
    assert seen.status == 200
    codes = [(result.get("error") or {}).get("code") for result in seen.json["results"]]
    assert sorted(codes, key=str) == [None, None, "overloaded", "overloaded"]
