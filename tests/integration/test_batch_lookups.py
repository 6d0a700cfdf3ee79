"""The prompts of one request share what can be shared: lookups, an embedding call, and the answers to duplicates."""

import asyncio
from dataclasses import replace

import pytest

from subsecond.aws.client import aws_of
from subsecond.bootstrap import gateway
from subsecond.stores.dynamodb.answers import DynamoStore

MODEL = "sim-t20-i0-n4"


class Counted:
    """An upstream that counts its calls, and how many run at once. None ends before `wanted` have run at once."""

    def __init__(self, inner):
        self.inner = inner
        self.calls = self.running = self.most = self.wanted = 0
        self.met = asyncio.Event()

    async def ask(self, call):
        """A batch's calls are asked whole: one ends with its reply."""
        self.calls += 1
        self.running += 1
        self.most = max(self.most, self.running)
        if self.running >= self.wanted:
            self.met.set()
        try:
            await self.met.wait()
            return await self.inner.ask(call)
        finally:
            self.running -= 1


@pytest.fixture
async def counted(served, settings):
    made = gateway(replace(settings, batch_concurrency=3))
    upstream = Counted(made.models.upstream)
    made = replace(made, models=replace(made.models, upstream=upstream))
    return await served(gateway=made), upstream


@pytest.mark.parametrize("path", ["/v1/completions/batch", "/v1/completions"])
async def test_duplicates_are_asked_for_once_and_all_are_answered_in_order(counted, path):
    client, upstream = counted
    prompts = ["a", "b", "a", "c", "b", "a"] * 5
    field = "prompts" if path.endswith("batch") else "prompt"
    seen = await client.post(path, {"model": MODEL, field: prompts})
    assert seen.status == 200
    texts = seen.json["responses"] if field == "prompts" else [one["text"] for one in seen.json["choices"]]
    assert upstream.calls == 3
    assert len({text for text, prompt in zip(texts, prompts, strict=True)}) == 3
    for prompt in "abc":
        assert len({text for text, one in zip(texts, prompts, strict=True) if one == prompt}) == 1


async def test_the_misses_go_side_by_side_with_a_bound(counted):
    client, upstream = counted
    upstream.wanted = 3
    seen = await client.post("/v1/completions/batch", {"model": MODEL, "prompts": [f"p{n}" for n in range(10)]})
    assert [result["cached"] for result in seen.json["results"]] == [False] * 10
    assert (upstream.calls, upstream.most) == (10, 3)


async def test_all_keys_of_a_batch_are_looked_up_in_one_call_to_the_table(served, settings, aws_tables):
    settings = replace(settings, exact="dynamodb")
    client = await served(settings)
    prompts = [f"p{n}" for n in range(12)]
    await client.post("/v1/completions/batch", {"model": MODEL, "prompts": prompts})
    asked = []
    events = aws_of(settings).dynamodb.meta.events
    events.register("before-call.dynamodb.*", lambda model, **_: asked.append(model.name), unique_id="count")
    try:
        seen = await client.post("/v1/completions/batch", {"model": MODEL, "prompts": prompts})
    finally:
        events.unregister("before-call.dynamodb.*", unique_id="count")
    assert [result["cached"] for result in seen.json["results"]] == [True] * 12
    assert asked == ["BatchGetItem"]


async def test_the_candidates_of_one_question_are_read_consistently_in_one_call_to_the_table(settings, aws_tables):
    aws = aws_of(settings)
    store, asked = DynamoStore(aws, settings.answers_table, settings.bucket), []
    events = aws.dynamodb.meta.events
    events.register("provide-client-params.dynamodb.*", lambda params, **_: asked.append(params), unique_id="count")
    try:
        assert await asyncio.gather(*(store.fresh("a:n", key, "whole") for key in "abc")) == [None] * 3
    finally:
        events.unregister("provide-client-params.dynamodb.*", unique_id="count")
    [call] = asked
    [batch] = call["RequestItems"].values()
    assert (len(batch["Keys"]), batch["ConsistentRead"]) == (3, True)


async def test_similar_prompts_of_a_batch_are_searched_for_together(settings):
    made = gateway(replace(settings, semantic="threshold"))
    similar = await made.semantic.get()
    products = []
    search_many = similar.reader.search_many

    def counting(partition, scope, vectors, k=1):
        products.append(len(vectors))
        return search_many(partition, scope, vectors, k)

    similar.reader.search_many = counting
    vectors = await similar.embedder.embed([f"question {n}" for n in range(5)])
    scopes = ["aa" * 32, "aa" * 32, "bb" * 32, "aa" * 32, "bb" * 32]
    found = await asyncio.gather(
        *(similar.nearest("a:n", scope, vector) for scope, vector in zip(scopes, vectors, strict=True))
    )
    assert sorted(products) == [2, 3]
    assert found == [[]] * 5


async def test_a_batch_is_searched_for_in_one_product_and_a_lone_prompt_at_once(served, settings):
    made = gateway(replace(settings, semantic="threshold"))
    similar = await made.semantic.get()
    products = []
    search_many = similar.reader.search_many

    def counting(partition, scope, vectors, k=1):
        products.append(len(vectors))
        return search_many(partition, scope, vectors, k)

    similar.reader.search_many = counting
    client = await served(gateway=made)
    await client.post("/v1/completions/batch", {"model": MODEL, "prompts": ["rain", "a piano", "7 pm", "Norway"]})
    assert products == [4]
    await client.post("/v1/completions", {"model": MODEL, "prompt": "something else"})
    assert products == [4, 1]
