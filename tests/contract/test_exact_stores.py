"""What every exact store promises. A new file in `cache/` is tested here the day it appears."""

import pkgutil
import random
import time
from importlib import import_module

import pytest

import subsecond.cache
from subsecond.cache.dynamodb import INLINE_LIMIT
from subsecond.config import Settings
from subsecond.stored import pack

ADAPTERS = [module.name for module in pkgutil.iter_modules(subsecond.cache.__path__)]


@pytest.fixture(params=ADAPTERS)
def store(request, aws_tables):
    return import_module(f"subsecond.cache.{request.param}").build(Settings())


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
    from dataclasses import replace

    now = time.time()
    put = entry(created=now, expires=now + 60)
    await store.put(replace(put, prompt=replace(put.prompt, text="a\ud800b")))
    assert (await store.get("acme:prod", "k")).answer == put.answer
