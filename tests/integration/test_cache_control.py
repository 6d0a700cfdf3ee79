"""Explain, report, invalidate: by one gateway, and seen by another one over the same tables."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256

import boto3
import pytest

from subsecond.api.cache_operations import MOST_RULES
from subsecond.aws.client import aws_of
from subsecond.bootstrap import gateway
from subsecond.cache.false_hits import MOST
from subsecond.cache.invalidation import EVERY
from subsecond.config import Settings
from subsecond.model import Rule, Tenant
from subsecond.stores.layered.answers import LayeredStore
from subsecond.stores.memory.answers import MemoryStore
from subsecond.stores.memory.hits import MemoryHits
from subsecond.stores.memory.invalidations import MemoryInvalidations
from subsecond.stores.memory.keys import MemoryKeys

ASKED, PARAPHRASE, ANOTHER = (
    "How do I reset my password?",
    "How can I reset the password?",
    "How could I reset my password?",
)
MODEL = "sim-t0-i0-n8"


SETTINGS = Settings(
    upstream="subsecond_local.simulator.adapter",
    api_key="sk-a",
    default_model=MODEL,
    semantic="threshold",
    similarity=0.8,
    # moto is slow while other tests run.
    store_timeout=5.0,
    semantic_timeout=1.0,
)
TENANTS = {sha256(f"sk-{name}".encode()).hexdigest(): Tenant(name, "n", name) for name in "ab"}


@pytest.fixture
def tables(aws_tables):
    """Settings of gateways that share tables in moto, with the keys of tenants a and b."""
    for key, tenant in TENANTS.items():
        row = {"pk": "keys", "sk": key, "tenant": tenant.id, "namespace": tenant.namespace, "name": tenant.key}
        item = {name: {"S": text} for name, text in row.items()}
        boto3.client("dynamodb").put_item(TableName="subsecond-state", Item={**item, "disabled": {"BOOL": False}})
    settings = replace(
        SETTINGS, keys="dynamodb", exact="layered", invalidations="dynamodb", hits="dynamodb", ledger="dynamodb"
    )
    yield settings
    aws_of(settings).close()


def in_memory():
    """Two gateways whose stores lie in this process: a memory of their own each, and what is shared."""
    far, rules, hits = MemoryStore(1 << 20), MemoryInvalidations(), MemoryHits()
    for _ in range(2):
        made = gateway(SETTINGS)
        made.rules._store = rules
        exact = LayeredStore(MemoryStore(1 << 20), far)
        yield replace(made, exact=exact, hits=hits, keys=MemoryKeys(TENANTS))


class Pair:
    """Two environments: the same tables, nothing else in common."""

    def __init__(self, gateways, clients):
        self.gateways = gateways
        self.here, self.there = clients

    async def teach(self, text=ASKED):
        """There finds by its index what here has stored, as it would by the segments."""
        seen = await self.here.chat(text, x_subsecond_trace="1")
        explained = await self.here.post("/v1/cache/explain", chat(text))
        entry = await self.gateways[0].exact.fresh("a:n", explained.json["key"])
        similar = await self.gateways[1].semantic.get()
        (vector,) = await similar.embedder.embed([text])
        similar.learn(entry, vector)
        return seen, entry.prompt.key

    async def gap(self):
        """The rules' refresh is due again, without waiting for it."""
        for made in self.gateways:
            for known in made.rules._partitions.values():
                known.refresh.expire()


@pytest.fixture(params=["memory"])
def gateways(request):
    """Before the servers, because they still write when they stop."""
    if request.param == "memory":
        return list(in_memory())
    settings = request.getfixturevalue("tables")
    return [gateway(settings), gateway(settings)]


@pytest.fixture
async def pair(gateways, served):
    return Pair(gateways, [await served(SETTINGS, gateway=made) for made in gateways])


both = pytest.mark.parametrize("gateways", ["memory", "tables"], indirect=True)


def chat(text, **fields):
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **fields}


def answered(seen):
    words = seen.headers["cache-status"].removeprefix("subsecond; ").split("; ")
    return words[-1].removeprefix("detail=") if words[0] == "hit" else words[0]


def entry_of(seen):
    return seen.headers["cache-status"].partition('key="')[2].partition('"')[0]


async def unstored(client, text, **fields):
    """Asks without storing, so that it can be asked again."""
    return await client.chat(text, cache_control="no-store", **fields)


@both
async def test_a_reported_false_hit_is_not_repeated_by_any_environment(pair):
    _, key = await pair.teach()
    hit = await unstored(pair.there, PARAPHRASE)
    assert answered(hit) == "semantic"
    assert entry_of(hit) == key
    report = {"request_id": hit.headers["x-request-id"], "verdict": "wrong"}
    # Reported to one environment, held to by the other at once: its next read is past its memory.
    seen = await pair.here.post("/v1/cache/feedback", report)
    assert (seen.status, seen.json["changed"], seen.json["negatives"]) == (200, True, 1)
    for client in (pair.there, pair.here):
        again = await unstored(client, PARAPHRASE.lower(), x_subsecond_trace="1")
        assert answered(again) == "fwd=miss"
        (judged,) = again.json["subsecond"]["judged"]
        assert judged["entry"] == key
        assert judged["says"] == "miss"
        assert judged["reasons"][0] == "reported as wrong"
        assert answered(await unstored(client, ANOTHER)) == "semantic"
        assert answered(await unstored(client, ASKED)) == "exact"


@both
async def test_a_new_answer_to_the_entrys_question_does_not_bring_the_false_hit_back(pair):
    _, key = await pair.teach()
    await pair.here.post("/v1/cache/feedback", {"entry": key, "question": PARAPHRASE, "verdict": "wrong"})
    assert answered(await pair.there.chat(ASKED, cache_control="no-cache")) == "fwd=bypass"
    for client in (pair.there, pair.here):
        assert answered(await unstored(client, PARAPHRASE)) == "fwd=miss"
    # Nor does invalidating the entry, which would otherwise delete what is known of it.
    invalidated = await pair.here.post("/v1/cache/invalidate", {"by": "entry", "value": key})
    assert invalidated.json["deleted"] is False
    assert answered(await pair.here.chat(ASKED)) == "fwd=miss"
    assert answered(await unstored(pair.here, PARAPHRASE)) == "fwd=miss"


async def test_a_report_can_be_taken_back_and_counts_once(pair):
    _, key = await pair.teach()
    await unstored(pair.here, PARAPHRASE)
    pairs = {"entry": key, "messages": chat(PARAPHRASE)["messages"]}
    for verdict, changed, rate in (("wrong", True, 1.0), ("wrong", False, 1.0), ("right", True, 0.0)):
        seen = await pair.here.post("/v1/cache/feedback", {**pairs, "verdict": verdict})
        assert seen.json["changed"] is changed
        stats = (await pair.here.send("GET", "/v1/cache/stats")).json
        assert stats["false_hit_rate_reported"] == stats["false_hits_reported"] == rate
    assert answered(await unstored(pair.there, ASKED)) == "exact"
    assert answered(await unstored(pair.here, PARAPHRASE)) == "semantic"


async def test_an_entry_that_was_reported_too_often_serves_its_own_question_alone(pair):
    _, key = await pair.teach()
    for n in range(MOST + 2):
        body = {"entry": key, "question": f"another {n}", "verdict": "wrong"}
        seen = await pair.here.post("/v1/cache/feedback", body)
        assert seen.json["negatives"] == min(n + 1, MOST)
    assert answered(await unstored(pair.there, PARAPHRASE)) == "fwd=miss"
    assert answered(await unstored(pair.there, ASKED)) == "exact"


async def test_a_hit_is_explained_by_its_request_id(pair):
    _, key = await pair.teach()
    hit = await unstored(pair.there, PARAPHRASE, x_subsecond_trace="1")
    request_id = hit.headers["x-request-id"]
    seen = (await pair.here.send("GET", f"/v1/cache/explain?request_id={request_id}")).json
    assert seen["source"] == "semantic"
    assert seen["judged"] == hit.json["subsecond"]["judged"]
    assert seen["entry"]["entry"] == key
    assert seen["entry"]["question"] == ASKED
    assert seen["reported"] is False
    await pair.here.post("/v1/cache/feedback", {"request_id": request_id, "verdict": "wrong"})
    seen = (await pair.here.send("GET", f"/v1/cache/explain?request_id={request_id}")).json
    assert seen["reported"] is True
    # An exact hit needs no note: it is its own explanation.
    exact = await unstored(pair.here, ASKED)
    missing = await pair.here.send("GET", f"/v1/cache/explain?request_id={exact.headers['x-request-id']}")
    assert (missing.status, missing.json["error"]["code"]) == (404, "hit_not_found")


async def test_who_reports_at_once_waits_for_the_note(served):
    """It is written after the answer's last byte."""

    class Late(MemoryHits):
        async def note(self, partition, hit):
            await asyncio.sleep(0.15)
            await super().note(partition, hit)

    hits = Late()
    # On one connection the server would answer the next request after the note.
    here, there = [await served(SETTINGS, gateway=replace(made, hits=hits)) for made in in_memory()]
    await here.chat(ASKED)
    hit = await here.chat(PARAPHRASE)
    report = {"request_id": hit.headers["x-request-id"], "verdict": "wrong"}
    assert (await there.post("/v1/cache/feedback", report)).status == 200


async def test_an_entry_is_explained_and_judged_for_a_question(pair):
    await pair.here.chat(ASKED, subsecond={"tags": ["accounts", "help"], "ttl": 600})
    key = entry_of(await pair.here.chat(ASKED))
    seen = (await pair.here.send("GET", f"/v1/cache/explain?entry={key}")).json
    assert (seen["entry"], seen["question"], seen["tags"]) == (key, ASKED, ["accounts", "help"])
    assert (seen["asked_model"], seen["negatives"], seen["invalidated"]) == (MODEL, 0, False)
    assert 0 <= seen["age"] < 60
    assert 500 < seen["expires_in"] <= 600
    assert "verdict" not in seen

    async def verdict(question):
        path = f"/v1/cache/explain?entry={key}&question={question}"
        return (await pair.here.send("GET", path)).json["verdict"]

    near, far = await verdict(PARAPHRASE), await verdict("Why is the sky blue?")
    assert near["says"] == "hit"
    assert near["similarity"] > 0.9
    assert near["reasons"]
    assert far["says"] == "miss"
    assert far["similarity"] < 0.8
    other = chat(PARAPHRASE, temperature=0.5)
    seen = (await pair.here.post(f"/v1/cache/explain?entry={key}", other)).json["verdict"]
    assert (seen["says"], seen["same_scope"]) == ("hit", False)
    seen = (await pair.here.post(f"/v1/cache/explain?entry={key}", chat(PARAPHRASE))).json["verdict"]
    assert seen["same_scope"] is True


async def test_a_question_is_explained_without_asking_the_model_or_storing(pair):
    async def explained(text, **fields):
        seen = await pair.here.post("/v1/cache/explain", chat(text, **fields))
        assert seen.status == 200
        return seen.json

    before = await explained(ASKED)
    assert (before["source"], before["entry"], before["stored_for"]) == ("upstream", None, 86_400)
    await pair.here.chat(ASKED)
    calls = (await pair.here.send("GET", "/v1/cache/stats")).json["upstream_calls"]
    exact = await explained(ASKED)
    assert exact["source"] == "exact"
    assert exact["entry"]["entry"] == exact["key"] == before["key"]
    similar = await explained(PARAPHRASE)
    assert similar["source"] == "semantic"
    assert similar["entry"]["question"] == ASKED
    assert similar["judged"][0]["says"] == "hit"
    assert similar["reasons"] == similar["judged"][0]["reasons"]
    far = await explained("Why is the sky blue?")
    assert far["source"] == "upstream"
    assert far["judged"] == []
    assert far["nearest"][0]["similarity"] < 0.8
    for fields, word in (({"subsecond": {"similar": False}}, "similar"), ({"use_cache": False}, "forbids")):
        refused = await explained(PARAPHRASE, **fields)
        assert refused["source"] == "upstream"
        assert word in refused["reasons"][-1]
    stats = (await pair.here.send("GET", "/v1/cache/stats")).json
    assert (stats["upstream_calls"], stats["hits"]["semantic"]) == (calls, 0)
    text = await pair.here.post("/v1/cache/explain", {"prompt": "Hi"})
    assert text.json["source"] == "upstream"


@pytest.mark.parametrize(
    ("gateways", "by"),
    [("memory", by) for by in ("entry", "scope", "namespace", "tag", "model")]
    + [("tables", "entry"), ("tables", "tag")],
    indirect=["gateways"],
)
async def test_what_was_invalidated_is_seen_by_another_environment_within_the_gap(pair, by):
    await pair.here.chat(ASKED, subsecond={"tags": ["accounts"]})
    _, key = await pair.teach()
    kept = await pair.here.chat("Why is the sky blue?", model=f"{MODEL}-a", temperature=0.5)
    assert answered(await unstored(pair.there, ASKED)) == "exact"  # and is in its memory now
    assert answered(await unstored(pair.there, PARAPHRASE)) == "semantic"
    explained = (await pair.here.send("GET", f"/v1/cache/explain?entry={key}")).json
    values = {"entry": key, "scope": explained["scope"], "namespace": "", "tag": "accounts", "model": MODEL}
    seen = (await pair.here.post("/v1/cache/invalidate", {"by": by, "value": values[by]})).json
    assert seen["deleted"] is (by == "entry")
    assert seen["everywhere_within_s"] == EVERY
    await pair.gap()
    for client in (pair.here, pair.there):
        assert answered(await unstored(client, ASKED)) == "fwd=miss"
        assert answered(await unstored(client, PARAPHRASE)) == "fwd=miss"
    # What it does not speak of stays.
    assert kept.status == 200
    other = await pair.there.chat("Why is the sky blue?", model=f"{MODEL}-a", temperature=0.5)
    assert answered(other) == ("fwd=miss" if by == "namespace" else "exact")
    # A new answer is served again, by both.
    await pair.here.chat(ASKED, subsecond={"tags": ["accounts"]})
    for client in (pair.here, pair.there):
        assert answered(await unstored(client, ASKED)) == "exact"
        assert answered(await unstored(client, PARAPHRASE)) == ("semantic" if client is pair.here else "fwd=miss")


async def test_a_dry_run_counts_and_changes_nothing(pair):
    _, key = await pair.teach()
    await pair.here.chat(ANOTHER, subsecond={"similar": False})
    scope = (await pair.here.send("GET", f"/v1/cache/explain?entry={key}")).json["scope"]

    async def tried(by, value="", **fields):
        seen = await pair.here.post("/v1/cache/invalidate", {"by": by, "value": value, "dry_run": True, **fields})
        assert seen.json["dry_run"] is True
        assert "deleted" not in seen.json
        return seen.json["matches"], seen.json["accuracy"]

    assert await tried("entry", key) == (1, "exact")
    assert await tried("entry", key, before=time.time() - 3600) == (0, "exact")
    assert await tried("entry", "ab" * 32) == (0, "exact")
    assert await tried("scope", scope) == (1, "at_least")
    assert await tried("scope", scope, before=time.time() - 3600) == (0, "at_least")
    assert await tried("namespace") == (2, "estimate")
    assert await tried("tag", "x") == (0, "at_least")
    assert await tried("model", MODEL) == (2, "at_least")
    await pair.gap()
    for client in (pair.here, pair.there):
        assert answered(await unstored(client, ASKED)) == "exact"


async def test_only_what_is_older_than_the_date_goes(pair):
    _, key = await pair.teach()
    before = time.time() - 3600
    await pair.here.post("/v1/cache/invalidate", {"by": "entry", "value": key, "before": before})
    assert answered(await unstored(pair.here, ASKED)) == "exact"
    future = await pair.here.post("/v1/cache/invalidate", {"by": "namespace", "before": time.time() + 3600})
    assert (future.status, future.json["error"]["param"]) == (400, "before")


class Told:
    """Invalidations that say when they are read: a request is under way then."""

    def __init__(self, inner, asked):
        self.add, self._inner, self._asked = inner.add, inner, asked

    async def rules(self, partition):
        self._asked.set()
        return await self._inner.rules(partition)


async def test_an_answer_under_way_is_invalidated_with_the_rest(pair):
    slow = "sim-t200-i0-n8"
    asked = asyncio.Event()
    pair.gateways[1].rules._store = Told(pair.gateways[1].rules._store, asked)
    asking = asyncio.create_task(pair.there.chat("Under way?", model=slow))
    await asked.wait()
    await pair.here.post("/v1/cache/invalidate", {"by": "namespace"})
    await asking
    await pair.gap()
    for client in (pair.here, pair.there):
        assert answered(await unstored(client, "Under way?", model=slow)) == "fwd=miss"


async def test_many_invalidated_neighbours_do_not_hide_a_valid_one(pair):
    made = pair.gateways[0]
    _, key = await pair.teach()
    scope = (await pair.here.send("GET", f"/v1/cache/explain?entry={key}")).json["scope"]
    similar = await made.semantic.get()
    (vector,) = await similar.embedder.embed([PARAPHRASE])
    old = time.time() - 100
    for n in range(40):
        similar.reader.add("a:n", f"{n:064x}", scope, old, time.time() + 600, vector)
    await pair.here.post("/v1/cache/invalidate", {"by": "scope", "value": scope, "before": time.time() - 50})
    assert answered(await unstored(pair.here, PARAPHRASE)) == "semantic"


async def test_past_the_bound_of_rules_the_namespace_can_still_be_invalidated(pair):
    await pair.here.chat(ASKED)
    rules = pair.gateways[0].rules
    rules._learn(rules._known("a:n"), [Rule("tag", str(n), time.time(), time.time() + 600) for n in range(MOST_RULES)])
    seen = await pair.here.post("/v1/cache/invalidate", {"by": "tag", "value": "new"})
    assert (seen.status, seen.json["error"]["code"]) == (400, "too_many_rules")
    assert "Invalidate the namespace" in seen.json["error"]["message"]
    assert (await pair.here.post("/v1/cache/invalidate", {"by": "tag", "value": "7"})).status == 200
    assert (await pair.here.post("/v1/cache/invalidate", {"by": "namespace"})).status == 200
    await pair.gap()
    for client in (pair.here, pair.there):
        assert answered(await unstored(client, ASKED)) == "fwd=miss"
    assert (await pair.here.post("/v1/cache/invalidate", {"by": "tag", "value": "new"})).status == 200


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

        get = put = fresh = report = drop = note = find = add = rules = fail

    yield replace(made, **dict.fromkeys(names, Dead()))


async def test_a_dead_store_is_a_503_and_not_a_promise(served, settings):
    made = gateway(replace(settings, semantic="threshold"))
    async with dead(made, "exact", "hits") as broken:
        client = await served(settings, gateway=broken)
        for method, path, body in (
            ("GET", f"explain?entry={'ab' * 32}", None),
            ("GET", "explain?request_id=req_1", None),
            ("POST", "feedback", {"request_id": "req_1", "verdict": "wrong"}),
            ("POST", "feedback", {"entry": "ab" * 32, "question": "x", "verdict": "wrong"}),
            ("POST", "invalidate", {"by": "entry", "value": "ab" * 32}),
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
