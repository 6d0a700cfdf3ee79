"""The same question in other words, through the face."""

import time
from dataclasses import replace

import pytest

from subsecond.aio.lazy import Lazy
from subsecond.aws.client import aws_of
from subsecond.bootstrap import gateway, semantic_cache

ASKED, PARAPHRASE = "How do I reset my password?", "How can I reset the password?"


@pytest.fixture
def near(settings):
    return replace(settings, semantic="threshold", similarity=0.8)


def kind(seen):
    return seen.headers["cache-status"].removeprefix("subsecond; ").split("; ")


async def test_off_means_off(served, settings):
    client = await served(replace(settings, semantic="off"))
    await client.chat(ASKED)
    assert kind(await client.chat(PARAPHRASE)) == ["fwd=miss"]


async def test_a_paraphrase_is_answered_from_the_cache_whole_and_streamed(served, near):
    client = await served(near)
    first = await client.chat(ASKED)
    for stream in (False, True):
        seen = await client.chat(PARAPHRASE, stream=stream, x_subsecond_trace="1")
        assert kind(seen)[0] == "hit"
        assert kind(seen)[-1] == "detail=semantic"
        trace = seen.chunks[-1]["subsecond"] if stream else seen.json["subsecond"]
        assert 0.8 < trace["similarity"] < 1
        assert len(trace["neighbour"]) == 64
        text = seen.text if stream else seen.json["choices"][0]["message"]["content"]
        assert text == first.json["choices"][0]["message"]["content"]
    stats = (await client.send("GET", "/v1/cache/stats")).json
    assert stats["hits"]["semantic"] == 2
    assert stats["semantic_cache_size"] == 1


@pytest.mark.parametrize(
    "other",
    [
        {"model": "sim-t0-i0-n8-b"},
        {"temperature": 0.5},
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PARAPHRASE}]},
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Yes?"},
                {"role": "user", "content": PARAPHRASE},
            ]
        },
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"cache_control": "no-cache"},
        {"use_cache": False},
    ],
    ids=str,
)
async def test_nothing_is_similar_outside_its_scope_or_against_the_requests_will(served, near, other):
    client = await served(near)
    await client.chat(ASKED)
    assert "hit" not in kind(await client.chat(PARAPHRASE, **other))


async def test_another_tenant_sees_nothing(near, ask):
    from subsecond.model import Tenant
    from subsecond.stats.trace import Trace

    made = gateway(near)
    sources = []
    for name, text in (("a", ASKED), ("b", PARAPHRASE), ("a", PARAPHRASE)):
        events = [event async for event in made.complete(Tenant(name, "n", "k"), ask(text), Trace())]
        sources.append(events[0].source)
    assert sources == ["upstream", "upstream", "semantic"]


@pytest.mark.parametrize("model", ["sim-t0-i0-n8-ffilter", "sim-t0-i0-n8"])
async def test_only_a_finished_answer_serves_others(served, near, model):
    client = await served(near)
    limits = {} if model.endswith("filter") else {"max_tokens": 3}
    await client.chat(ASKED, model=model, **limits)
    assert kind(await client.chat(PARAPHRASE, model=model, **limits)) == ["fwd=miss"]


async def test_a_broken_embedder_is_a_counted_miss(served, near):
    class Broken:
        id, dim, max_chars = "broken", 256, 8_000

        async def embed(self, texts):
            raise RuntimeError(f"no weights for {len(texts)}")

    made = gateway(near)
    client = await served(
        near, gateway=replace(made, semantic=Lazy(lambda: replace(semantic_cache(near), embedder=Broken())))
    )
    assert (await client.chat(ASKED)).status == 200
    stats = (await client.send("GET", "/v1/cache/stats")).json
    assert stats["fail_open"]["embed"] == 1


async def test_a_long_text_skips_the_stage(served, near):
    client = await served(near)
    seen = await client.chat("word " * 2_000, x_subsecond_trace="1")
    assert seen.status == 200
    assert seen.json["subsecond"]["similarity"] is None


async def test_a_semantic_hit_is_told_to_the_index_but_not_more_than_once_an_hour(served, near, aws_tables):
    settings = replace(near, exact="dynamodb", store_timeout=10.0)  # moto is slow on a busy machine
    client = await served(settings)
    await client.chat(ASKED)
    table, dynamodb = settings.answers_table, aws_of(settings).dynamodb
    updates = []
    event = "before-parameter-build.dynamodb.UpdateItem"
    dynamodb.meta.events.register(event, lambda params, **_: updates.append(params["UpdateExpression"]), unique_id="n")
    try:
        for _ in range(3):
            assert kind(await client.chat(PARAPHRASE))[0] == "hit"
    finally:
        dynamodb.meta.events.unregister(event, unique_id="n")
    [item] = dynamodb.scan(TableName=table)["Items"]
    assert abs(int(item["used"]["N"]) - time.time()) < 60
    assert updates.count("SET used = :now") == 1
