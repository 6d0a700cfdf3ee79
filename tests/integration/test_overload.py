"""More requests than the upstream can take: some are answered, the rest is refused in words that clients know."""

import asyncio
import itertools
import json
from dataclasses import replace

import pytest

from subsecond.bootstrap import gateway
from subsecond.errors import Overloaded
from subsecond.stages.embeddings import Embeddings
from subsecond.stores.memory.embeddings import EmbeddingMemory
from subsecond.upstreams.admission import Admission, Limits
from subsecond.upstreams.list_prompts import Lists
from tests.support.faults import Held

SLOW = "sim-t300-i0-n4"


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_past_the_bound_and_the_queue_is_429_with_a_retry_after(served, settings, stream):
    made = gateway(replace(settings, model_calls=2, waiting_calls=2, waiting_time=60.0))
    held = Held(made.models.upstream)
    client = await served(gateway=replace(made, models=replace(made.models, upstream=held)))
    asked = [asyncio.create_task(client.chat(f"Question {n}?", stream=stream)) for n in range(8)]
    # The refused ones do not wait for the others.
    for ended in itertools.islice(asyncio.as_completed(asked), 4):
        await ended
    held.open.set()
    seen = await asyncio.gather(*asked)
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


class Watched:
    """An upstream that notes how many calls were admitted when it was asked."""

    def __init__(self, upstream, admission):
        self._upstream, self._admission = upstream, admission
        self.seen = []

    async def ask(self, call):
        self.seen.append((call.endpoint, self._admission.running))
        return await self._upstream.ask(call)

    async def fetch(self, path, body, deadline):
        self.seen.append((path, self._admission.running))
        return await self._upstream.fetch(path, body, deadline)


async def test_every_call_to_the_one_upstream_is_admitted(served, settings):
    made = gateway(settings)
    watched = Watched(made.models.upstream, made.models.admission)
    models = replace(made.models, upstream=watched, lists=Lists(watched, 8))
    embeddings = Embeddings(models, made.rules, settings, EmbeddingMemory(0), made.keying)
    client = await served(gateway=replace(made, models=models, embeddings=embeddings))
    await client.chat("One?")
    await client.chat("Two?", stream=True)
    await client.post("/v1/completions/batch", {"prompts": ["a", "b", "c"]})
    await client.post("/v1/embeddings", {"model": "sim-t0-i0-n1", "input": "a"})
    await client.send("GET", "/v1/models")
    assert watched.seen == [("chat", 1), ("chat", 1), ("text", 3), ("/embeddings", 1), ("/models", 1)]


async def test_every_call_of_a_router_is_admitted(served, settings):
    names = {"fast": ("fast", "sim-t0-i0-n4"), "strong": ("quality", "sim-t0-i0-n8")}
    models = [{"name": name, "tier": tier, "model": served} for name, (tier, served) in names.items()]
    fields = {"speculate": True, "speculation_stagger": 5.0, "speculation_judge": "fast"}
    made = gateway(replace(settings, catalogue=json.dumps({"models": models}), **fields))
    watched = Watched(made.models.upstream, made.models.admission)
    made.models.routed.upstreams[""] = watched
    client = await served(gateway=made)
    await client.chat("One?", model="auto", subsecond={"quality": 1})
    await client.post("/v1/embeddings", {"model": "fast", "input": "a"})
    # The fast model, its judge, the strong model.
    assert watched.seen == [("chat", 1), ("chat", 1), ("chat", 1), ("/embeddings", 1)]


async def test_hits_are_served_while_the_upstream_is_full(served, settings):
    made = gateway(replace(settings, model_calls=1, waiting_calls=0))
    client = await served(gateway=made)
    await client.chat("Known?", model=SLOW)
    async with made.models.admission.place(SLOW, "another's"):
        assert (await client.chat("New?", model=SLOW)).status == 429
        assert (await client.chat("Known?", model=SLOW)).headers["cache-status"].startswith("subsecond; hit")


class RefusingTwo(Admission):
    """Admits as usual, and tells once it has refused two calls."""

    def __init__(self, limits, refused):
        super().__init__(limits)
        self._refused, self._calls = refused, 0

    async def enter(self, model, tenant, deadline):
        try:
            return await super().enter(model, tenant, deadline)
        except Overloaded:
            self._calls += 1
            if self._calls == 2:
                self._refused.set()
            raise


async def test_a_batch_says_which_of_its_prompts_were_refused(served, settings):
    chosen = replace(settings, model_calls=1, waiting_calls=1, waiting_time=60.0, batch_concurrency=4)
    made = gateway(chosen)
    held = Held(made.models.upstream)
    models = replace(made.models, upstream=held, admission=RefusingTwo(Limits.of(chosen), held.open))
    client = await served(gateway=replace(made, models=models))
    seen = await client.post("/v1/completions/batch", {"prompts": ["a", "b", "c", "d"]})
    assert seen.status == 200
    codes = [(result.get("error") or {}).get("code") for result in seen.json["results"]]
    assert sorted(codes, key=str) == [None, None, "overloaded", "overloaded"]
