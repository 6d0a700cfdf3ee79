"""Embeddings are kept by item: whatever was asked before, a list is answered as the upstream alone would answer it."""

import asyncio
import base64
import json
import random
import struct
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subsecond.cache.embeddings import ItemEmbedding, KeptEmbedding, items_of, joined, keys_of, taken_apart
from subsecond.cache.end_user import user_tag
from subsecond.cache.fields_left_out import left_out
from subsecond.cache.invalidation import Rules
from subsecond.cache.key import KeyPolicy
from subsecond.config import Settings
from subsecond.errors import NotCached, UpstreamError
from subsecond.model import CacheRules, Call, Rule, Tenant
from subsecond.ports import Reply
from subsecond.stages.embeddings import Embeddings
from subsecond.stages.upstream import Models
from subsecond.stats.trace import Trace
from subsecond.stores.memory.embeddings import EmbeddingMemory
from subsecond.stores.memory.invalidations import MemoryInvalidations
from subsecond.upstreams.admission import Admission, Limits

TENANT, OTHER = Tenant("acme", "prod", "k"), Tenant("acme", "dev", "k")


def vector(item, packed):
    """As text, with digits that no parser would write again."""
    numbers = [len(str(item)), sum(map(ord, str(item)))]
    if packed:
        return json.dumps(base64.b64encode(struct.pack("<2f", *numbers)).decode())
    return "[" + ", ".join(f"{number}.50e-1" for number in numbers) + "]"


def tokens(item):
    return len(item) if isinstance(item, list) else len(item.encode("utf-8", "surrogatepass")) // 3 + 1


class Server:
    """Answers in any order, as it may."""

    def __init__(self, failing=()):
        self.bodies = []
        self.failing = list(failing)
        self.gate, self.asked = asyncio.Event(), asyncio.Semaphore(0)
        self.gate.set()

    async def fetch(self, path, body, deadline):
        assert path == "/embeddings"
        self.bodies.append(body)
        self.asked.release()
        await self.gate.wait()
        if self.failing and (error := self.failing.pop(0)):
            raise error
        return Reply(self.reply(body))

    def reply(self, body):
        items = items_of(body, left_out(["openai"]))
        packed = body.get("encoding_format") == "base64"
        data = [f'{{"object":"embedding","index":{i},"embedding":{vector(x, packed)}}}' for i, x in enumerate(items)]
        random.Random(len(self.bodies)).shuffle(data)
        total = sum(map(tokens, items))
        usage = f'{{"prompt_tokens":{total},"total_tokens":{total}}}'
        return f'{{"object":"list","data":[{", ".join(data)}],"model":"e-1","usage":{usage}}}'.encode()


def stage(server, memory=1_000_000, **fields):
    rules = Rules(MemoryInvalidations(), 1e9)
    made = Models(server, Admission(Limits(8, 8, 8, 1.0, batch=8)))
    return Embeddings(made, rules, Settings(**fields), EmbeddingMemory(memory), KeyPolicy())


async def ask(asked, body, tenant=TENANT, **rules):
    call = Call("embeddings", body["model"], body, CacheRules(**rules))
    trace = Trace(partition=tenant.partition)
    reply = await asked.answer(tenant, call, trace)
    return SimpleNamespace(body=reply.body, json=json.loads(reply.body), trace=trace, head=reply.head)


def body(*items, **fields):
    return {"model": "e", "input": list(items), **fields}


texts = st.lists(st.sampled_from(["a", "b", "é", "long " * 9, 'quo"te\\', "x\ud800"]), min_size=1, max_size=6)
arrays = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=3), min_size=1, max_size=6)
requests = st.lists(st.tuples(texts | arrays, st.sampled_from(["float", "base64"])), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(requests)
def test_a_list_is_answered_in_order_from_whatever_was_asked_before(asked):
    async def run():
        server = Server()
        made, seen, spent = stage(server), set(), 0
        for items, encoding in asked:
            calls = len(server.bodies)
            found = await ask(made, body(*items, encoding_format=encoding))
            rows = sorted(found.json["data"], key=lambda row: row["index"])
            assert [row["index"] for row in rows] == list(range(len(items)))
            assert [row["embedding"] for row in rows] == [json.loads(vector(x, encoding == "base64")) for x in items]
            new = {(json.dumps(item), encoding) for item in items} - seen
            assert len(server.bodies) - calls == bool(new)
            seen |= new
            usage, saved = found.trace.usage or {}, found.trace.saved or {}
            told = found.json["usage"]["prompt_tokens"]
            assert told == found.json["usage"]["total_tokens"]
            assert told == usage.get("prompt_tokens", 0) + saved.get("prompt_tokens", 0)
            spent += usage.get("prompt_tokens", 0)
        assert spent == sum(tokens(json.loads(item)) for item, _ in seen)
        asked_items = [json.dumps(item) + one.get("encoding_format") for one in server.bodies for item in items_of(one)]
        assert len(asked_items) == len(set(asked_items))

    asyncio.run(run())


async def test_a_vector_keeps_its_digits_and_a_list_that_is_all_new_its_bytes():
    server = Server()
    made = stage(server)
    first = await ask(made, body("a", "b"))
    assert first.body == Server.reply(server, body("a", "b"))
    assert "estimated" not in first.json["usage"]
    again = await ask(made, body("b"))
    assert vector("b", packed=False).encode() in again.body
    assert again.trace.source == "exact"
    assert again.json["model"] == "e-1"
    assert len(server.bodies) == 1


async def test_what_is_missing_is_asked_in_one_call_and_each_item_once():
    server = Server()
    made = stage(server)
    await ask(made, body("a", user="u"))
    found = await ask(made, body("b", "a", "c", "b", user="u"))
    assert server.bodies[1] == body("b", "c", user="u")
    assert found.head.age is not None
    assert found.trace.counts == {"embeddings_hits": 1, "embeddings_misses": 2}


async def test_usage_is_exact_for_tokens_and_for_one_text_and_says_where_it_is_estimated():
    made = stage(Server())
    await ask(made, body([1, 2], [3]))
    assert (await ask(made, body([3], [3]))).json["usage"] == {"prompt_tokens": 2, "total_tokens": 2}
    await ask(made, body("one", "seventeen"))
    seen = (await ask(made, body("seventeen"))).json["usage"]
    assert seen["estimated"] is True
    # Of 6 tokens, 9 of 12 letters.
    assert seen["prompt_tokens"] == 5


@pytest.mark.parametrize(
    "fields",
    [
        {"input": [{"type": "text", "text": "a"}]},
        {"input": [[0.5, 1]]},
        {"input": ["a", 1]},
        {"input": []},
        {"input": None},
        {"messages": [{"role": "user", "content": "a"}]},
        {"input": ["a", "b"], "late_chunking": True},
        {"input": [True]},
    ],
)
async def test_what_is_not_known_passes_whole_and_is_not_kept(fields):
    class Echo(Server):
        def reply(self, body):
            return json.dumps({"data": [{"embedding": [[1.0]]}], "of": body}).encode() + b" "

    server = Echo()
    made = stage(server)
    for _ in range(2):
        found = await ask(made, {"model": "e", **fields})
        assert found.json["of"] == {"model": "e", **fields}
        assert found.trace.cacheable is False
    assert len(server.bodies) == 2
    with pytest.raises(NotCached):
        await ask(made, {"model": "e", **fields}, only_if_cached=True)


@pytest.mark.parametrize(
    "data",
    [
        '[{"index":0,"embedding":[1]},{"index":0,"embedding":[2]}]',
        '[{"embedding":[1]},{"embedding":[2]}]',
        '[{"index":[0],"embedding":[1]},{"index":true,"embedding":[2]}]',
        '[{"index":0,"embedding":[1]}]',
        '[{"index":0,"embedding":[1]},{"index":1,"embedding":[NaN]}]',
        '[{"index":0,"embedding":[1]},{"index":1,"embedding":[]}]',
        '[{"index":0,"embedding":[1]},{"index":1,"embedding":null}]',
        '[{"index":0,"embedding":[1]},{"index":1,"embedding":[["a"]]}]',
        '[{"index":0,"embedding":[1],"n":{"embedding":[2]}},{"index":1}]',
    ],
)
def test_where_it_is_not_plain_whose_vector_is_which_none_is_taken(data):
    assert taken_apart(f'{{"data":{data}}}'.encode(), ["a", "b"])[0] is None


async def test_a_part_that_cannot_be_told_apart_is_asked_as_it_came():
    class Odd(Server):
        def reply(self, body):
            good = super().reply(body)
            return good if "a" in body["input"] else good.replace(b'"index":0', b'"index":7')

    server = Odd()
    made = stage(server)
    await ask(made, body("a"))
    found = await ask(made, body("a", "b"))
    assert [one["input"] for one in server.bodies] == [["a"], ["b"], ["a", "b"]]
    assert found.body == server.reply(body("a", "b"))
    assert found.trace.usage["prompt_tokens"] == sum(map(tokens, "bab"))


def test_an_object_and_a_label_named_embedding_are_no_vectors():
    told = b'{"object":"embedding","x":"\\"embedding\\":[9]","data":[{"index":0,"embedding" : [ 1 ]}],"model":"m"}'
    ((one,), usage) = taken_apart(told, ["a"])
    assert usage is None
    assert (one.value, one.tokens) == (b"[ 1 ]", None)
    assert json.loads(joined([one])) == json.loads(told)


def test_fields_that_cannot_change_an_answer_are_in_no_key_and_part_no_list():
    ignored = frozenset({"safety_identifier"})
    asked = body("a", safety_identifier="me")
    assert items_of(asked) is None
    assert items_of(asked, ignored) == ["a"]
    assert keys_of(asked, ["a"], ignored) == keys_of(body("a"), ["a"], ignored)
    for more in ({"dimensions": 8}, {"encoding_format": "float"}, {"user": "u"}, {"input_type": "query"}):
        assert keys_of(body("a", **more), ["a"]) != keys_of(body("a"), ["a"])
    assert len(set(keys_of(body(), ["1", [1], "[1]"]))) == 3


async def test_two_namespaces_share_nothing():
    server = Server()
    made = stage(server)
    await ask(made, body("a"))
    await ask(made, body("a"), OTHER)
    assert len(server.bodies) == 2


@pytest.mark.parametrize(
    ("rules", "asked_again"),
    [
        ({"read": False}, 1),
        ({"max_age": 0.0}, 1),
        ({"ttl": 0.0}, 0),
        ({}, 0),
    ],
)
async def test_the_rules_of_a_request_are_heeded(rules, asked_again):
    server = Server()
    made = stage(server)
    await ask(made, body("a"))
    await asyncio.sleep(0.001)
    await ask(made, body("a"), **rules)
    assert len(server.bodies) == 1 + asked_again


@pytest.mark.parametrize("rules", [{"write": False}, {"ttl": 0.0}])
async def test_what_may_not_be_stored_is_not(rules):
    server = Server()
    made = stage(server)
    await ask(made, body("a"), **rules)
    await ask(made, body("a"))
    assert len(server.bodies) == 2


async def test_only_if_cached_asks_nobody():
    made = stage(Server())
    await ask(made, body("a"))
    assert (await ask(made, body("a"), only_if_cached=True)).trace.source == "exact"
    with pytest.raises(NotCached):
        await ask(made, body("a", "b"), only_if_cached=True)
    assert len(made.models.upstream.bodies) == 1


@pytest.mark.parametrize(("kind", "value"), [("namespace", ""), ("model", "e"), ("model", "e-1"), ("tag", "wiki")])
async def test_what_is_invalidated_is_asked_again(kind, value):
    server = Server()
    made = stage(server)
    kept = await ask(made, body("a"), tags=("wiki",))
    await made.rules.add(TENANT.partition, Rule(kind, value, 1e11, 2e11))
    await ask(made, body("a"), tags=("wiki",))
    assert len(server.bodies) == 2
    assert kept.trace.source == "upstream"


@pytest.mark.parametrize(("scope", "calls"), [("namespace", 1), ("user", 2)])
async def test_walls_and_names_hold_for_embeddings_too(scope, calls):
    server = Server()
    made = replace(stage(server), keying=KeyPolicy(left_out(["openai"]), scope=scope))
    for name in ("ann", "ben", "ann"):
        await ask(made, body("a", user=name))
    assert len(server.bodies) == calls
    await made.rules.add(TENANT.partition, Rule("tag", user_tag(TENANT, "ann"), 1e11, 2e11))
    for name in ("ben", "ann"):
        await ask(made, body("a", user=name))
    assert len(server.bodies) == calls + 1


async def test_who_asks_for_the_same_meanwhile_waits_for_that_call():
    server = Server()
    server.gate.clear()
    made = replace(stage(server), keying=KeyPolicy(left_out(["openai"])))
    first = asyncio.create_task(ask(made, body("a", "b")))
    second = asyncio.create_task(ask(made, body("b", "c")))
    third = asyncio.create_task(ask(made, body("b")))
    fourth = asyncio.create_task(ask(made, body("b"), OTHER))
    fifth = asyncio.create_task(ask(made, body("b", service_tier="flex")))
    for _ in range(4):
        await server.asked.acquire()
    server.gate.set()
    found = await asyncio.gather(first, second, third, fourth, fifth)
    assert [one["input"] for one in server.bodies] == [["a", "b"], ["c"], ["b"], ["b"]]
    assert [row["embedding"] for row in found[1].json["data"]] == [json.loads(vector(x, packed=False)) for x in "bc"]
    assert [one.trace.source for one in found] == ["upstream", "upstream", "coalesced", "upstream", "upstream"]
    assert made._aloft == {}


@pytest.mark.parametrize("rules", [{"write": False}, {"coalesce": False}, {"read": False}])
async def test_who_shares_nothing_neither_joins_nor_is_joined(rules):
    server = Server()
    server.gate.clear()
    made = stage(server)
    tasks = [asyncio.create_task(ask(made, body("a"), **one)) for one in (rules, {}, rules)]
    for _ in range(3):
        await server.asked.acquire()
    server.gate.set()
    assert [one.trace.source for one in await asyncio.gather(*tasks)] == ["upstream"] * 3
    assert made._aloft == {}


async def test_where_that_call_fails_everybody_asks_for_themselves():
    server = Server(failing=[UpstreamError("No.", status=500)])
    server.gate.clear()
    made = stage(server)
    first, second = (asyncio.create_task(ask(made, body("a"))) for _ in range(2))
    await server.asked.acquire()
    server.gate.set()
    with pytest.raises(UpstreamError, match="No"):
        await first
    assert (await second).trace.source == "upstream"
    assert len(server.bodies) == 2


async def test_who_leaves_ends_their_call_and_nobody_elses():
    server = Server()
    server.gate.clear()
    made = stage(server)
    first, second = (asyncio.create_task(ask(made, body("a"))) for _ in range(2))
    await server.asked.acquire()
    first.cancel()
    server.gate.set()
    assert (await second).json["data"][0]["index"] == 0
    assert first.cancelled()
    assert len(server.bodies) == 2


def kept(size, expires=9.0):
    return KeptEmbedding(ItemEmbedding(b"x" * size, {}, {}, 1), 0.0, expires, ())


def test_memory_is_bounded_and_the_largest_partition_gives_way():
    memory = EmbeddingMemory(6_000, clock=lambda: 5.0)
    memory.put("small", b"s", kept(500))
    for n in range(20):
        memory.put("large", b"%d" % n, kept(500))
    assert memory.size <= 6_000
    assert memory.get("small", b"s")
    assert memory.get("large", b"19")
    assert not memory.get("large", b"0")
    memory.put("large", b"whale", kept(9_000))
    assert not memory.get("large", b"whale")
    memory.put("small", b"old", kept(1, expires=4.0))
    assert not memory.get("small", b"old")
