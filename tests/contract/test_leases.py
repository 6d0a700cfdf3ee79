"""What every place for leases promises. A new file in `flights/leases` is tested here the day it appears."""

import inspect
from importlib import import_module

import boto3
import pytest

from subsecond.config import Settings
from tests.support.adapters import engines, store

ADAPTERS = engines("flights")
PLACE = ("acme:prod", "k")


@pytest.fixture(params=ADAPTERS)
def leases(request, clock):
    if request.param != "memory":
        request.getfixturevalue("aws_tables")
    made = store("flights", request.param)
    made._clock = clock
    return made


def test_the_adapters_were_found_and_have_a_clock_of_their_own():
    assert {"memory", "dynamodb"} <= set(ADAPTERS)
    for name in ADAPTERS:
        module = import_module(f"subsecond.stores.{name}.leases")
        [kind] = [each for each in vars(module).values() if inspect.isclass(each) and each.__name__.endswith("Leases")]
        assert "clock" in inspect.signature(kind).parameters


async def test_one_takes_it_and_another_does_not(leases):
    taken = await leases.acquire(*PLACE, "one", 5.0)
    assert (taken.taken, taken.ago) == (True, float("inf"))
    assert not (await leases.acquire(*PLACE, "two", 5.0)).taken
    assert await leases.look(*PLACE) == "held"


async def test_other_keys_and_partitions_are_other_leases(leases):
    await leases.acquire(*PLACE, "one", 5.0)
    assert (await leases.acquire("acme:prod", "other", "two", 5.0)).taken
    assert (await leases.acquire("acme:test", "k", "two", 5.0)).taken
    assert await leases.look("acme:other", "k") == "free"


async def test_taking_again_what_one_holds_is_right(leases):
    """A reply was lost, and the library asked again."""
    await leases.acquire(*PLACE, "one", 5.0)
    again = await leases.acquire(*PLACE, "one", 5.0)
    assert (again.taken, again.ago) == (True, 0.0)


async def test_it_ends_with_its_time(leases, clock):
    await leases.acquire(*PLACE, "one", 5.0)
    clock.now += 4.9
    assert not (await leases.acquire(*PLACE, "two", 5.0)).taken
    clock.now += 0.1
    assert await leases.look(*PLACE) == "free"
    clock.now += 2.5
    taken = await leases.acquire(*PLACE, "two", 5.0)
    assert taken.taken
    assert taken.ago == pytest.approx(2.5, abs=0.01)


async def test_a_renewal_holds_it_on(leases, clock):
    await leases.acquire(*PLACE, "one", 5.0)
    for _ in range(3):
        clock.now += 4
        assert await leases.renew(*PLACE, "one", 5.0)
    assert await leases.look(*PLACE) == "held"
    clock.now += 5
    assert await leases.look(*PLACE) == "free"


async def test_a_release_frees_it_at_once_and_says_when(leases, clock):
    await leases.acquire(*PLACE, "one", 5.0)
    clock.now += 1
    await leases.release(*PLACE, "one")
    assert await leases.look(*PLACE) == "free"
    clock.now += 0.5
    taken = await leases.acquire(*PLACE, "two", 5.0)
    assert taken.ago == pytest.approx(0.5, abs=0.01)


async def test_what_nobody_can_share_is_said_until_the_next_one_takes_it(leases):
    await leases.acquire(*PLACE, "one", 5.0)
    await leases.release(*PLACE, "one", alone=True)
    assert await leases.look(*PLACE) == "alone"
    assert (await leases.acquire(*PLACE, "two", 5.0)).taken
    assert await leases.look(*PLACE) == "held"
    await leases.release(*PLACE, "two")
    assert await leases.look(*PLACE) == "free"


async def test_only_the_owner_renews_and_releases(leases, clock):
    assert not await leases.renew(*PLACE, "one", 5.0)
    await leases.release(*PLACE, "one")
    await leases.acquire(*PLACE, "one", 5.0)
    clock.now += 6
    await leases.acquire(*PLACE, "two", 5.0)
    assert not await leases.renew(*PLACE, "one", 50.0)
    await leases.release(*PLACE, "one")
    assert await leases.look(*PLACE) == "held"


async def test_a_renewal_that_arrives_after_the_release_revives_nothing(leases):
    await leases.acquire(*PLACE, "one", 5.0)
    await leases.release(*PLACE, "one")
    assert not await leases.renew(*PLACE, "one", 5.0)
    assert await leases.look(*PLACE) == "free"


async def test_a_release_after_the_time_has_ended_does_not_make_it_end_later(leases, clock):
    await leases.acquire(*PLACE, "one", 5.0)
    clock.now += 30
    await leases.release(*PLACE, "one")
    assert await leases.look(*PLACE) == "free"


async def test_the_table_forgets_a_lease_a_minute_after_its_end(aws_tables, clock):
    leases = import_module("subsecond.stores.dynamodb.leases").build(Settings())
    leases._clock = clock
    await leases.acquire(*PLACE, "one", 5.0)
    [item] = boto3.client("dynamodb").scan(TableName="subsecond-state")["Items"]
    assert (item["pk"]["S"], item["sk"]["S"]) == ("flight#acme:prod#k", "lease")
    assert int(item["ttl"]["N"]) == clock.now + 65
    clock.now += 1
    await leases.release(*PLACE, "one")
    [item] = boto3.client("dynamodb").scan(TableName="subsecond-state")["Items"]
    assert int(item["ttl"]["N"]) == clock.now + 60


async def test_this_process_does_not_keep_what_has_long_ended(clock):
    leases = import_module("subsecond.stores.memory.leases").MemoryLeases(clock)
    for number in range(5_000):
        clock.now += 1
        await leases.acquire("acme:prod", str(number), "one", 5.0)
        await leases.release("acme:prod", str(number), "one")
    assert len(leases) <= 1_001
