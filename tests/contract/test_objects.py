"""What every object store promises. A new file in `objects/` is tested here the day it appears."""

import asyncio
import time
from importlib import import_module

import pytest

from subsecond.aws.client import aws_of
from subsecond.config import Settings
from subsecond.ports import ObjectsFailed
from tests.support.adapters import engines, store

ADAPTERS = engines("objects")


@pytest.fixture(params=ADAPTERS)
def objects(request, aws_tables):
    yield store("objects", request.param)
    aws_of(Settings()).close()


def test_the_adapters_were_found():
    assert {"memory", "s3"} <= set(ADAPTERS)


async def test_what_was_put_is_got(objects):
    etag = await objects.put("a/b.npy", b"one")
    found = await objects.get("a/b.npy")
    assert (found.data, found.etag) == (b"one", etag)
    assert await objects.put("a/b.npy", b"two") != etag
    assert (await objects.get("a/b.npy")).data == b"two"


async def test_what_is_not_there_is_none(objects):
    assert await objects.get("nothing") is None
    assert await objects.get("nothing", '"etag"') is None


async def test_a_known_version_is_not_sent_again(objects):
    etag = await objects.put("a", b"one")
    unchanged = await objects.get("a", etag)
    assert (unchanged.data, unchanged.etag) == (None, etag)
    await objects.put("a", b"two")
    assert (await objects.get("a", etag)).data == b"two"


async def test_an_empty_object_is_an_object(objects):
    await objects.put("a", b"")
    assert (await objects.get("a")).data == b""


async def test_only_the_first_creates(objects):
    etag = await objects.put_if("a", b"one", None)
    assert etag is not None
    assert await objects.put_if("a", b"two", None) is None
    found = await objects.get("a")
    assert (found.data, found.etag) == (b"one", etag)


async def test_only_the_version_that_is_meant_is_replaced(objects):
    first = await objects.put_if("a", b"one", None)
    second = await objects.put_if("a", b"two", first)
    assert second is not None
    assert await objects.put_if("a", b"three", first) is None
    assert (await objects.get("a")).data == b"two"
    assert await objects.put_if("a", b"three", second) is not None


async def test_what_is_gone_is_not_replaced(objects):
    etag = await objects.put("a", b"one")
    await objects.delete(["a"])
    assert await objects.put_if("a", b"two", etag) is None
    assert await objects.get("a") is None


async def test_a_prefix_is_listed(objects):
    before = time.time()
    for name in ("x/1", "x/2", "y/1"):
        await objects.put(name, name.encode())
    listed = await objects.listed("x/")
    assert [(one.name, one.size) for one in listed] == [("x/1", 3), ("x/2", 3)]
    assert all(abs(one.modified - before) < 60 for one in listed)
    assert await objects.listed("z/") == []


async def test_deleting_what_is_not_there_is_no_error(objects):
    await objects.put("a", b"one")
    await objects.delete(["a", "b"])
    await objects.delete([])
    assert await objects.get("a") is None


async def test_many_are_listed_and_deleted(objects):
    names = [f"many/{n:04}" for n in range(1003)]
    await asyncio.gather(*(objects.put(name, b"") for name in names))
    assert [one.name for one in await objects.listed("many/")] == names
    await objects.delete(names)
    assert await objects.listed("many/") == []


async def test_a_store_that_cannot_be_reached_is_one_kind_of_error(monkeypatch, unused_tcp_port):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused_tcp_port}")
    settings = Settings(store_timeout=20.0)
    objects = import_module("subsecond.stores.s3.objects").build(settings)
    for call in (objects.get("a"), objects.put("a", b""), objects.put_if("a", b"", None), objects.listed("a")):
        with pytest.raises(ObjectsFailed, match="EndpointConnectionError"):
            await call
    aws_of(settings).close()


async def test_a_missing_bucket_is_an_error_and_not_a_miss(aws_tables):
    settings = Settings(bucket="no-such-bucket")
    objects = import_module("subsecond.stores.s3.objects").build(settings)
    with pytest.raises(ObjectsFailed, match="NoSuchBucket"):
        await objects.get("a")
    aws_of(settings).close()
