"""A batch's misses as one call of the model's server, over HTTP, and what happens when that server does not like it."""

import asyncio
import json
from dataclasses import replace

import pytest

from subsecond.api.batches import answer_all
from subsecond.bootstrap import close, gateway
from subsecond.model import Call, Tenant
from tests.support.simulator import SimulatorProcess

MODEL = "sim-t20-i1-n6"
PROMPTS = [f"prompt number {n}" for n in range(8)]


@pytest.fixture(scope="module")
def server():
    with SimulatorProcess(key="sk-up") as process:
        yield process


@pytest.fixture
def upstream(server, settings):
    server.reset()
    return replace(
        settings,
        upstream="openai",
        upstream_url=server.base_url,
        upstream_key="sk-up",
        upstream_retries=0,
        semantic="off",
    )


@pytest.fixture
def listing(upstream):
    return replace(upstream, list_prompts=True)


def catalogued(settings, *, flag):
    models = [{"name": "m", "tier": "fast", "model": MODEL, "list_prompts": flag}]
    return replace(settings, catalogue=json.dumps({"models": models}))


async def batch(client, prompts=PROMPTS, model=MODEL, **fields):
    seen = await client.post("/v1/completions/batch", {"model": model, "prompts": list(prompts), **fields})
    assert seen.status == 200, seen.body
    return seen.json


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("routed", [True, False])
async def test_eight_prompts_are_one_call_with_the_flag_and_eight_without(served, server, upstream, flag, routed):
    settings = catalogued(upstream, flag=flag) if routed else replace(upstream, list_prompts=flag)
    client = await served(settings)
    found = await batch(client, model="m" if routed else MODEL)
    assert server.stats()["by_path"]["/v1/completions"] == (1 if flag else 8)
    alone = await served(upstream)
    assert found["responses"] == (await batch(alone))["responses"]
    assert len(set(found["responses"])) == 8


async def test_a_list_of_more_than_a_call_may_hold_goes_in_parts_and_duplicates_once(served, server, listing):
    client = await served(replace(listing, batch_concurrency=4))
    prompts = [f"p{n % 12}" for n in range(36)]
    found = await batch(client, prompts)
    assert len(set(found["responses"])) == 12
    assert found["responses"] == found["responses"][:12] * 3
    assert server.stats()["calls"] == 3
    again = await batch(client, prompts)
    assert again["responses"] == found["responses"]
    assert server.stats()["calls"] == 3


async def test_a_poisoned_prompt_fails_alone(served, server, listing):
    client = await served(listing)
    prompts = [*PROMPTS[:3], "poison", *PROMPTS[3:6]]
    found = await batch(client, prompts, model=f"{MODEL}-fpoison")
    assert [error["index"] for error in found["errors"]] == [3]
    assert found["errors"][0]["error"]["code"] == "simulated_poison"
    assert [text is None for text in found["responses"]] == [n == 3 for n in range(7)]
    assert server.stats()["calls"] == 8
    # It was the prompt and not the list: the next one is tried.
    await batch(client, PROMPTS, model=f"{MODEL}-fpoison")
    assert server.stats()["calls"] == 9


@pytest.mark.parametrize("fault", ["nolist", "short3", "sameindex", "status500-fonce", "truncate4-fonce"])
async def test_a_list_that_fails_is_asked_for_one_by_one_and_not_tried_again_soon(served, server, listing, fault):
    client = await served(listing)
    model = f"{MODEL}-f{fault}"
    found = await batch(client, model=model)
    assert found["errors"] == []
    assert len(set(found["responses"])) == 8
    assert server.stats()["calls"] == 9
    await batch(client, [f"more {n}" for n in range(8)], model=model)
    assert server.stats()["calls"] == 17


async def test_a_list_prompt_is_one_call_with_estimated_usage(served, server, listing):
    client = await served(listing)
    seen = await client.post("/v1/completions", {"model": MODEL, "prompt": PROMPTS[:4]})
    usage = seen.json["usage"]
    assert usage["estimated"] is True
    assert 4 * 4 < usage["completion_tokens"] < 4 * 20
    assert server.stats()["calls"] == 1


async def test_a_list_prompt_that_is_streamed_is_one_call_for_each(served, server, listing):
    client = await served(listing)
    body = {"model": MODEL, "prompt": PROMPTS[:4], "stream": True}
    seen = await client.post("/v1/completions", body)
    assert seen.done
    texts = dict.fromkeys(range(4), "")
    for chunk in seen.chunks:
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["text"]
    assert server.stats()["calls"] == 4
    whole = await client.post("/v1/completions", body | {"stream": False})
    assert list(texts.values()) == [choice["text"] for choice in whole.json["choices"]]


async def test_one_prompt_is_no_list_and_parameters_that_a_list_could_answer_otherwise_pass_by(served, server, listing):
    client = await served(listing)
    for prompt in ("alone", ["alone in a list"]):
        seen = await client.post("/v1/completions", {"model": MODEL, "prompt": prompt})
        assert "estimated" not in seen.json["usage"]
    await batch(client, PROMPTS[:3], stop=["\n"])
    assert server.stats()["calls"] == 5


async def test_batches_of_two_tenants_share_no_call(server, listing):
    made = gateway(listing)

    async def ask(tenant):
        calls = [Call("text", MODEL, {"model": MODEL, "prompt": prompt}, batch=tenant.id) for prompt in PROMPTS[:4]]
        return await answer_all(made, tenant, calls)

    found = await asyncio.gather(*(ask(Tenant(name, "n", "k")) for name in ("one", "two")))
    assert [len(answers) for answers in found] == [4, 4]
    assert server.stats()["calls"] == 2
    await close(made)


async def test_a_batchs_prompts_are_counted_for_whoever_sent_it(served, listing):
    client = await served(listing)
    await batch(client, PROMPTS[:5])
    await batch(client, PROMPTS[:6])
    shown = (await client.send("GET", "/v1/cache/stats")).json
    assert (shown["requests"], shown["misses"], shown["hits"]["exact"]) == (11, 6, 5)
