"""What every store of owners promises. A new `owners.py` in a folder of `stores/` is tested here the day it appears."""

import pytest

from subsecond.aws.client import aws_of
from subsecond.config import Settings
from subsecond.ports import OWNED, OWNERS_BATCH
from tests.support.adapters import engines, store

ADAPTERS = engines("owners")


@pytest.fixture(params=ADAPTERS)
def owners(request, clock):
    settings = Settings(store_threads=2)
    if request.param != "memory":
        request.getfixturevalue("aws_tables")
    made = store("owners", request.param, settings)
    clock.now = 1_800_000_000.0
    made._clock = clock
    yield made
    aws_of(settings).close()


def test_the_adapters_were_found():
    assert {"memory", "dynamodb"} <= set(ADAPTERS)


async def test_an_object_is_its_partitions_alone(owners):
    await owners.add("acme:prod", ["resp_1", "msg_1"], "gpt")
    assert await owners.places("acme:prod", ["resp_1", "resp_2", "msg_1"]) == {"resp_1": "gpt", "msg_1": "gpt"}
    for other in ("acme:test", "rival:prod", "acme:prod#resp_1"):
        assert await owners.places(other, ["resp_1", "msg_1"]) == {}


async def test_a_batch_is_asked_for_at_a_time(owners):
    names = [f"resp_{n}" for n in range(OWNERS_BATCH)]
    await owners.add("acme:prod", names[1:], "gpt")
    assert await owners.places("acme:prod", names) == dict.fromkeys(names[1:], "gpt")
    assert await owners.places("acme:prod", ["resp_1", "resp_1"]) == {"resp_1": "gpt"}


async def test_what_was_dropped_is_nobodys(owners):
    await owners.add("acme:prod", ["resp_1", "msg_1"], "")
    await owners.add("rival:prod", ["resp_2"], "")
    await owners.drop("acme:prod", "resp_1")
    await owners.drop("acme:prod", "resp_2")
    assert await owners.places("acme:prod", ["resp_1", "msg_1"]) == {"msg_1": ""}
    assert await owners.places("rival:prod", ["resp_2"]) == {"resp_2": ""}


async def test_it_is_kept_as_long_as_the_object(owners, clock):
    await owners.add("acme:prod", ["resp_1"], "gpt")
    clock.now += OWNED - 1
    assert await owners.places("acme:prod", ["resp_1"])
    clock.now += 2
    assert await owners.places("acme:prod", ["resp_1"]) == {}
