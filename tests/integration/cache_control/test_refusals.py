"""What is refused: another tenant's entries, no key, no sense, a store that is away."""

from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from subsecond.bootstrap import gateway
from tests.support.cache_control import ASKED, MODEL, PARAPHRASE, answered, both, chat, entry_of, unstored


@both
async def test_a_tenant_can_neither_see_nor_touch_anothers_entries(pair):
    _, key = await pair.teach()
    hit = await unstored(pair.here, PARAPHRASE)
    request_id = hit.headers["x-request-id"]
    scope = (await pair.here.send("GET", f"/v1/cache/explain?entry={key}")).json["scope"]

    async def b(method, path, content=None):
        return await pair.there.send(method, path, content=content, key="sk-b")

    for path in (f"?entry={key}", f"?entry={key}&question=x", f"?request_id={request_id}"):
        seen = await b("GET", f"/v1/cache/explain{path}")
        assert seen.status == 404
        assert ASKED not in seen.body.decode()
    explained = (await b("POST", "/v1/cache/explain", chat(ASKED))).json
    assert (explained["source"], explained["nearest"], explained["judged"]) == ("upstream", [], [])
    assert explained["key"] != key
    assert explained["scope"] != scope
    for body in ({"request_id": request_id}, {"entry": key, "question": PARAPHRASE}):
        assert (await b("POST", "/v1/cache/feedback", {**body, "verdict": "wrong"})).status == 404
    for by, value in (("entry", key), ("scope", scope), ("namespace", ""), ("tag", "accounts"), ("model", MODEL)):
        dry = (await b("POST", "/v1/cache/invalidate", {"by": by, "value": value, "dry_run": True})).json
        assert dry["matches"] in (0, None)
        real = (await b("POST", "/v1/cache/invalidate", {"by": by, "value": value})).json
        assert real["deleted"] is False
    await pair.gap()
    for client in (pair.here, pair.there):
        assert answered(await unstored(client, ASKED)) == "exact"
        assert answered(await unstored(client, PARAPHRASE)) == "semantic"


@pytest.mark.parametrize("path", ["/v1/cache/explain", "/v1/cache/feedback", "/v1/cache/invalidate"])
async def test_a_key_is_needed(served, path):
    client = await served()
    assert (await client.post(path, b"{ not even json", key="wrong")).status == 401


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("feedback", {}, "verdict"),
        ("feedback", {"verdict": "bad"}, "verdict"),
        ("feedback", {"verdict": "wrong"}, "request_id"),
        ("feedback", {"verdict": "wrong", "entry": "ab" * 32}, "request_id"),
        ("feedback", {"verdict": "wrong", "entry": "x", "question": "y"}, "entry"),
        ("feedback", {"verdict": "wrong", "entry": "ab" * 32, "messages": []}, "request_id"),
        ("feedback", {"verdict": "wrong", "entry": "ab" * 32, "messages": [{"role": "tool"}]}, "messages"),
        ("feedback", {"verdict": "wrong", "entry": "ab" * 32, "messages": [{"content": 5}]}, "messages.0.role"),
        ("feedback", {"verdict": "wrong", "request_id": "a/b"}, "request_id"),
        ("feedback", {"verdict": "wrong", "entri": "x"}, "entri"),
        ("invalidate", {}, "by"),
        ("invalidate", {"by": "all"}, "by"),
        ("invalidate", {"by": "tag"}, "value"),
        ("invalidate", {"by": "tag", "value": "a b"}, "value"),
        ("invalidate", {"by": "entry", "value": "x"}, "value"),
        ("invalidate", {"by": "scope"}, "value"),
        ("invalidate", {"by": "model", "value": ""}, "value"),
        ("invalidate", {"by": "namespace", "value": "prod"}, "value"),
        ("invalidate", {"by": "namespace", "dry_run": "yes"}, "dry_run"),
        ("invalidate", {"by": "namespace", "before": -1}, "before"),
        ("explain", {"model": "m"}, "messages"),
        ("explain", {"prompt": ["a", "b"]}, "prompt"),
        ("explain", chat("x", subsecond={"tags": 5}), "subsecond.tags"),
    ],
    ids=str,
)
async def test_what_cannot_be_understood_is_a_400_that_names_it(served, path, body, param):
    client = await served()
    seen = await client.post(f"/v1/cache/{path}", body)
    assert seen.status == 400
    assert seen.json["error"]["param"] == param


@pytest.mark.parametrize("query", ["", "?entry=x", "?request_id=a%20b", "?entri=x"])
async def test_an_explanation_needs_a_name(served, query):
    client = await served()
    seen = await client.send("GET", f"/v1/cache/explain{query}")
    assert seen.status == 400


async def test_the_entrys_own_question_is_no_false_hit(served, settings):
    client = await served(replace(settings, semantic="threshold", similarity=0.8))
    await client.chat(ASKED)
    key = entry_of(await client.chat(ASKED))
    body = {"entry": key, "question": ASKED.upper(), "verdict": "wrong"}
    seen = await client.post("/v1/cache/feedback", body)
    assert (seen.status, seen.json["error"]["code"]) == (400, "own_question")


async def test_without_the_semantic_cache_everything_exact_works_the_same(served, settings):
    client = await served(replace(settings, semantic="off"))
    await client.chat(ASKED, subsecond={"tags": ["a"]})
    key = entry_of(await client.chat(ASKED))
    seen = await client.send("GET", f"/v1/cache/explain?entry={key}&question=x")
    assert seen.json["verdict"]["reasons"] == ["the semantic cache is off"]
    dry = await client.post("/v1/cache/invalidate", {"by": "scope", "value": seen.json["scope"], "dry_run": True})
    assert (dry.json["matches"], dry.json["accuracy"]) == (1, "at_least")
    await client.post("/v1/cache/invalidate", {"by": "tag", "value": "a"})
    explained = await client.send("GET", f"/v1/cache/explain?entry={key}")
    assert explained.json["invalidated"] is True
    assert answered(await client.chat(ASKED)) == "fwd=miss"


@asynccontextmanager
async def dead(made, *names):
    class Dead:
        async def fail(self, *_args, **_fields):
            raise ConnectionError("no such host")

        def record(self, _trace):
            """The ledger's, which waits for nothing."""

        get = put = fresh = report = drop = note = find = add = rules = flush = summary = fail

    yield replace(made, **dict.fromkeys(names, Dead()))


async def test_a_dead_store_is_a_503_and_not_a_promise(served, settings):
    made = gateway(replace(settings, semantic="threshold"))
    async with dead(made, "exact", "hits", "ledger") as broken:
        client = await served(settings, gateway=broken)
        for method, path, body in (
            ("GET", f"explain?entry={'ab' * 32}", None),
            ("GET", "explain?request_id=req_1", None),
            ("POST", "feedback", {"request_id": "req_1", "verdict": "wrong"}),
            ("POST", "feedback", {"entry": "ab" * 32, "question": "x", "verdict": "wrong"}),
            ("POST", "invalidate", {"by": "entry", "value": "ab" * 32}),
            ("POST", "invalidate", {"by": "namespace"}),
        ):
            seen = await client.send(method, f"/v1/cache/{path}", content=body)
            assert (seen.status, seen.json["error"]["code"]) == (503, "unavailable"), path


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "explain"), ("POST", "explain"), ("POST", "feedback"), ("POST", "invalidate")]
)
async def test_a_function_without_the_answers_promises_nothing(served, settings, method, path):
    statistics = replace(settings, ledger="dynamodb")
    made = gateway(settings)
    client = await served(settings, gateway=replace(made, settings=statistics))
    seen = await client.send(method, f"/v1/cache/{path}", content={"by": "namespace"})
    assert (seen.status, seen.json["error"]["code"]) == (404, "not_found")


async def test_a_hit_log_that_is_away_costs_the_hit_nothing(served, settings):
    made = gateway(replace(settings, semantic="threshold", similarity=0.8))
    async with dead(made, "hits") as broken:
        client = await served(settings, gateway=broken)
        await client.chat(ASKED)
        assert answered(await client.chat(PARAPHRASE)) == "semantic"
        stats = (await client.send("GET", "/v1/cache/stats")).json
        assert stats["fail_open"]["note"] == 1
