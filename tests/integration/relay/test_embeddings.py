"""`/v1/embeddings` through the face: where they go, what passes as it came, and what is told of the cache."""

import json

import pytest
from openai import AsyncOpenAI

from tests.support.wires import whole

GROUP = [
    {"name": "east", "tier": "fast", "upstream": "a", "model": "vectors", "group": "vectors"},
    {
        "name": "west",
        "tier": "fast",
        "upstream": "b",
        "model": "deployment-7",
        "group": "vectors",
        "fallbacks": ["chat"],
    },
    {"name": "chat", "tier": "quality"},
]


def vectors(body, nth=0, *more):
    asked = body["input"] if isinstance(body["input"], list) else [body["input"]]
    data = [{"object": "embedding", "embedding": [len(text), 0.25], "index": n} for n, text in enumerate(asked)]
    usage = {"prompt_tokens": 3 * len(asked), "total_tokens": 3 * len(asked)}
    # With blanks that no encoder of ours writes.
    told = json.dumps({"object": "list", "data": data, "model": body["model"], "usage": usage}, indent=1)
    return [whole(told.encode(), 200, *more)]


def catalogue(port, *models):
    servers = {name: {"url": f"http://127.0.0.1:{port}/{name}/v1", "key": name} for name in "ab"}
    return json.dumps({"upstreams": servers, "models": list(models)})


@pytest.fixture
def routed(relaying):
    """`client, server = await routed(answer, *models)`: both servers of the catalogue are that one."""

    async def start(answer, *models):
        _, server = await relaying(answer)
        client, _ = await relaying(answer, catalogue=catalogue(server.port, *models))
        return client, server

    return start


async def embed(client, asked, model="m", **headers):
    fields = asked if isinstance(asked, dict) else {"input": asked}
    return await client.post("/v1/embeddings", {"model": model, **fields}, **headers)


async def test_a_name_of_the_catalogue_goes_to_its_server_under_its_name_there(routed):
    client, server = await routed(vectors, *GROUP)
    seen = await embed(client, "a", "west")
    assert (server.paths, server.bodies) == (["/b/v1/embeddings"], [{"model": "deployment-7", "input": "a"}])
    assert seen.body == vectors(server.bodies[0])[0].partition(b"\r\n\r\n")[2]
    assert seen.headers["x-subsecond-route"] == "west; asked for by name"
    assert (await embed(client, "a", "nobody")).json["error"]["code"] == "model_not_found"
    assert (await embed(client, "a", "auto")).json["error"]["code"] == "ambiguous_model"
    assert len(server.bodies) == 1


async def test_only_a_deployment_of_the_same_group_answers_in_its_place(routed):
    def answer(body, nth):
        return vectors(body) if body["model"] == "vectors" else [whole({"error": {"message": "Busy."}}, 503)]

    client, server = await routed(answer, *GROUP)
    seen = await embed(client, "a", "west")
    assert server.paths == ["/b/v1/embeddings", "/a/v1/embeddings"]
    assert seen.headers["x-subsecond-route"].startswith("east; in place of west (503 UpstreamError)")
    client, server = await routed(lambda body, nth: [whole({"error": {"message": "Busy."}}, 503)], *GROUP)
    seen = await embed(client, "a", "vectors")
    assert (seen.status, seen.json["error"]["message"]) == (503, "Busy.")
    assert sorted(server.paths) == ["/a/v1/embeddings", "/b/v1/embeddings"]
    assert seen.headers["x-subsecond-route"].startswith("none; tried ")


async def test_a_reply_that_is_not_edited_passes_byte_for_byte_with_its_headers(relaying):
    client, server = await relaying(lambda body, nth: vectors(body, nth, "x-ratelimit-remaining-requests: 7"))
    seen = await embed(client, ["a", "bb"])
    assert seen.body == vectors(server.bodies[0])[0].partition(b"\r\n\r\n")[2]
    assert seen.headers["x-ratelimit-remaining-requests"] == "7"
    assert seen.headers["cache-status"] == "subsecond; fwd=miss"
    assert "age" not in seen.headers


async def test_the_cache_says_what_it_did_in_the_words_of_http(relaying):
    client, server = await relaying(vectors)
    await embed(client, ["a", "bb"])
    hit = await embed(client, ["bb", "a", "bb"])
    assert hit.headers["cache-status"].startswith("subsecond; hit; ttl=86")
    assert hit.headers["cache-status"].endswith("detail=exact")
    assert hit.headers["age"] == "0"
    assert [row["embedding"][0] for row in hit.json["data"]] == [2, 1, 2]
    partial = await embed(client, ["ccc", "a"])
    assert partial.headers["cache-status"] == "subsecond; fwd=partial"
    assert partial.headers["age"] == "0"
    assert server.bodies[1]["input"] == ["ccc"]
    assert (await embed(client, "a", cache_control="no-cache")).headers["cache-status"] == "subsecond; fwd=bypass"
    assert (await embed(client, {"input": "a", "use_cache": False})).headers["cache-status"] == "subsecond; fwd=bypass"
    assert server.bodies[3] == {"model": "m", "input": "a"}
    refused = await embed(client, "new", cache_control="only-if-cached")
    assert (refused.status, refused.json["error"]["code"]) == (504, "not_cached")
    traced = await embed(client, "a", x_subsecond_trace="1")
    assert traced.json["subsecond"]["counts"] == {"embeddings_hits": 1}


@pytest.mark.parametrize(
    ("told", "status", "words"),
    [
        (whole({"error": {"message": "Too long.", "code": "context_length_exceeded"}}, 400), 400, "Too long."),
        (whole({"error": {"message": "Slow down.", "code": 429}}), 429, "Slow down."),
        (whole(b""), 502, "empty body"),
        (whole(b"<html>"), 502, "not JSON"),
    ],
)
async def test_an_error_keeps_its_words_and_one_in_disguise_is_one(relaying, told, status, words):
    client, _ = await relaying(lambda body, nth: [told])
    seen = await embed(client, "a")
    assert seen.status == status
    assert words in seen.json["error"]["message"]


async def test_the_statistics_have_hits_and_tokens_of_embeddings(relaying):
    client, _ = await relaying(vectors)
    await embed(client, ["a", "bb"])
    await embed(client, ["bb", "ccc"])
    await embed(client, ["a", "bb", "ccc", "ccc"])
    seen = (await client.send("GET", "/v1/cache/stats")).json
    assert seen["hits"] == {"exact": 1, "semantic": 0, "coalesced": 0}
    assert (seen["misses"], seen["upstream_calls"]) == (2, 2)
    assert seen["tokens"] == {"upstream": {"prompt": 9, "completion": 0}, "saved": {"prompt": 16, "completion": 0}}
    assert (seen["counts"]["embeddings_hits"], seen["counts"]["embeddings_misses"]) == (5, 3)


@pytest.mark.parametrize("encoding", ["float", "base64"])
async def test_openais_own_client_reads_a_list_put_together(served, settings, encoding):
    client = await served(settings)
    async with AsyncOpenAI(base_url=f"{client.base}/v1", api_key=client.key, max_retries=0) as openai:

        async def asked(*texts):
            model = "sim-t0-i0-n1"
            return await openai.embeddings.create(model=model, input=list(texts), encoding_format=encoding)

        alone = [(await asked(text)).data[0].embedding for text in "abc"]
        found = await asked("c", "a", "new", "c")
        assert [one.index for one in found.data] == [0, 1, 2, 3]
        assert [found.data[n].embedding for n in (0, 1, 3)] == [alone[2], alone[0], alone[2]]
        assert found.usage.prompt_tokens == found.usage.total_tokens > 3
