"""What every exact store promises. A new file in `cache/` is tested here the day it appears."""

import asyncio
import random
import time
from dataclasses import replace

import pytest

from subsecond.cache.codec import pack
from subsecond.model import Prompt
from subsecond.stores.dynamodb.answers import INLINE_LIMIT, DynamoStore
from tests.support.adapters import engines
from tests.support.adapters import store as store_of

ADAPTERS = engines("exact")


@pytest.fixture(params=ADAPTERS)
def store(request, aws_tables):
    return store_of("exact", request.param)


def test_the_adapters_were_found():
    assert {"memory", "dynamodb", "layered"} <= set(ADAPTERS)


async def test_what_was_put_is_got(store, entry):
    now = time.time()
    put = entry(created=now, expires=now + 60)
    assert await store.put(put) == 0
    got = await store.get("acme:prod", "k")
    assert got.answer == put.answer
    assert got.prompt == put.prompt
    assert got.created == pytest.approx(put.created, abs=1e-5)
    assert int(got.expires) == int(put.expires)


async def test_nothing_is_got_from_another_partition_or_key(store, entry):
    now = time.time()
    await store.put(entry(created=now, expires=now + 60))
    assert await store.get("acme:test", "k") is None
    assert await store.get("acme:prod", "other") is None


async def test_an_expired_entry_is_none(store, entry):
    now = time.time()
    await store.put(entry(created=now - 60, expires=now - 1))
    assert await store.get("acme:prod", "k") is None


async def test_the_newer_answer_wins_in_either_order(store, entry):
    now = time.time()
    old, new = (entry(created=now + age, expires=now + 60 + age, body=b'{"age":%d}' % age) for age in (0, 5))
    await store.put(old)
    assert int(await store.put(new)) == int(old.expires)
    assert await store.put(old) is None
    assert (await store.get("acme:prod", "k")).answer.body == b'{"age":5}'


async def test_a_large_answer_comes_back_whole(store, entry):
    now = time.time()
    body = random.Random(1).randbytes(600_000)
    assert len(pack(entry(created=now, expires=now + 60, body=body).answer)) > INLINE_LIMIT
    await store.put(entry(created=now, expires=now + 60, body=body))
    assert (await store.get("acme:prod", "k")).answer.body == body


async def test_a_text_with_a_lone_surrogate_does_no_harm(store, entry):
    now = time.time()
    put = entry(created=now, expires=now + 60)
    await store.put(replace(put, prompt=replace(put.prompt, text="a\ud800b")))
    assert (await store.get("acme:prod", "k")).answer == put.answer


async def test_what_an_entry_carries_comes_back(store, entry):
    now = time.time()
    put = replace(
        entry(created=now, expires=now + 60), vector=b"\x01\x02", embedder="e", tags=("b", "a"), model="alias"
    )
    await store.put(put)
    for got in (await store.get("acme:prod", "k"), await store.fresh("acme:prod", "k")):
        assert (got.vector, got.embedder, set(got.tags), got.model) == (b"\x01\x02", "e", {"a", "b"}, "alias")


async def test_a_newer_answer_has_nothing_of_the_older_one_but_what_was_reported(store, entry):
    now = time.time()
    old = entry(created=now, expires=now + 60)
    big = entry(created=now + 1, expires=now + 61, body=random.Random(2).randbytes(600_000))
    await store.put(replace(old, vector=b"\x01\x02", embedder="e", tags=("a",), model="alias"))
    await store.report("acme:prod", "k", "d1", wrong=True)
    for newer in (big, entry(created=now + 2, expires=now + 62)):
        await store.put(newer)
        got = await store.fresh("acme:prod", "k")
        assert (got.answer, got.vector, got.embedder, got.tags, got.model) == (newer.answer, b"", "", (), "")
        assert got.false_hits == {"d1"}


async def test_a_report_is_read_at_once_and_can_be_taken_back(store, entry):
    now = time.time()
    await store.put(entry(created=now, expires=now + 60))
    await store.get("acme:prod", "k")
    for digest, wrong, left in (
        ("d1", True, {"d1"}),
        ("d1", True, {"d1"}),
        ("d2", True, {"d1", "d2"}),
        ("d1", False, {"d2"}),
        ("d9", False, {"d2"}),
        ("d2", False, set()),
    ):
        await store.report("acme:prod", "k", digest, wrong=wrong)
        assert (await store.fresh("acme:prod", "k")).false_hits == left


async def test_a_report_makes_no_entry_and_reaches_no_other_partition(store, entry):
    now = time.time()
    await store.put(entry(created=now, expires=now + 60))
    for partition, key in (("acme:prod", "none"), ("acme:test", "k")):
        await store.report(partition, key, "d1", wrong=True)
        assert await store.fresh(partition, key) is None
    assert (await store.fresh("acme:prod", "k")).false_hits == frozenset()


async def test_what_is_dropped_is_gone_unless_it_is_newer_or_reported(store, entry):
    now = time.time()
    await store.put(entry(created=now, expires=now + 60))
    assert not await store.drop("acme:prod", "k", now - 1)
    assert not await store.drop("acme:test", "k", now + 1)
    assert not await store.drop("acme:prod", "other", now + 1)
    assert await store.get("acme:prod", "k")
    assert await store.drop("acme:prod", "k", now + 1)
    assert await store.get("acme:prod", "k") is None
    assert await store.fresh("acme:prod", "k") is None
    await store.put(entry("r", created=now, expires=now + 60))
    await store.report("acme:prod", "r", "d1", wrong=True)
    assert not await store.drop("acme:prod", "r", now + 1)
    assert (await store.fresh("acme:prod", "r")).false_hits == {"d1"}


async def test_what_was_reported_and_taken_back_can_be_dropped(store, entry):
    now = float(int(time.time()))  # which no table rounds
    await store.put(entry(created=now, expires=now + 60))
    for wrong in (True, False):
        await store.report("acme:prod", "k", "d1", wrong=wrong)
        await store.fresh("acme:prod", "k")
    assert await store.drop("acme:prod", "k", now + 1)
    assert await store.get("acme:prod", "k") is None


async def test_what_is_in_memory_is_live_and_of_the_partition(store, entry):
    """A store that remembers nothing has none."""
    now = time.time()
    for key, expires in (("live", now + 60), ("over", now - 1), ("gone", now + 60)):
        await store.put(entry(key, created=now - 2, expires=expires))
    await store.drop("acme:prod", "gone", now)
    assert {one.prompt.key for one in store.in_memory("acme:prod")} == ({"live"} if keeps(store) else set())
    assert not store.in_memory("acme:test")


def keeps(store):
    return not isinstance(store, DynamoStore)


async def test_what_is_got_at_the_same_time_is_each_callers_own(store, entry):
    now = time.time()
    large = bytes(random.Random(7).randbytes(INLINE_LIMIT + 1))
    for key, body in (("a", b"{}"), ("b", large), ("c", b"[1]")):
        await store.put(replace(entry(created=now, expires=now + 60, body=body), prompt=Prompt(key, "s", key)))
    asked = ["a", "none", "b", "a", "c"] * 30
    got = await asyncio.gather(*(store.get("acme:prod", key) for key in asked))
    assert [one and one.prompt.text for one in got] == [None if key == "none" else key for key in asked]
    assert got[2].answer.body == large


async def test_a_touched_entry_is_the_same_and_a_touch_of_nothing_makes_nothing(store, entry):
    now = time.time()
    put = entry(created=now, expires=now + 60)
    await store.put(put)
    for key in ("k", "none"):
        await store.touch("acme:prod", key)
        await store.touch("acme:prod", key)
    assert (await store.get("acme:prod", "k")).answer == put.answer
    assert await store.get("acme:prod", "none") is None
