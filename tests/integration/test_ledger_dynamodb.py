"""How figures get into the state table, and what happens when they cannot."""

import asyncio
import threading
from collections import Counter

import boto3
import pytest

from subsecond.aws.client import Aws
from subsecond.config import Settings
from subsecond.stats.increments import HOUR
from subsecond.stats.trace import Trace
from subsecond.stores.dynamodb.ledger import DynamoLedger
from tests.support.clock import Clock

TABLE = "subsecond-state"
NOW = 1_795_413_600.0  # 2026-11-23 06:00 UTC
PARTITION = "acme:prod"


@pytest.fixture
def clock():
    return Clock(NOW)


@pytest.fixture
def aws(aws_tables):
    aws = Aws(Settings(store_threads=1))
    yield aws
    aws.close()


@pytest.fixture
def environment(aws, clock):
    """`environment()` is one environment's ledger on the shared table."""
    return lambda table=TABLE: DynamoLedger(aws, table, 5.0, clock)


def trace(**given):
    return Trace(**{"partition": PARTITION, "model": "m", "source": "upstream", "total": 0.5, **given})


def items():
    return {
        item["sk"]["S"]: {name: int(value["N"]) for name, value in item.items() if "N" in value}
        for item in boto3.client("dynamodb").scan(TableName=TABLE)["Items"]
    }


def delete_table():
    boto3.client("dynamodb").delete_table(TableName=TABLE)


def create_table():
    boto3.client("dynamodb").create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
    )


async def test_an_hour_a_model_and_an_hour_of_expiry_have_an_item_each(environment):
    ledger = environment()
    ledger.record(trace(first=0.1, total=0.2, cacheable=True, stored_expiry=NOW + 25 * HOUR))
    await ledger.flush()
    kept, kept_live = NOW + HOUR + 90 * 86_400, NOW + 26 * HOUR + 86_400
    found = items()
    [shown] = [name for name in found if name.startswith("recent#")]
    assert found == {
        shown: found[shown],
        "2026112306": {"n|requests": 1, "n|misses": 1, "n|upstream_calls": 1, "ttl": kept},
        "2026112306|m": {
            "h|ttft|upstream|53": 1,
            "h|ttft|upstream|sum": 100_000,
            "h|total|upstream|61": 1,
            "h|total|upstream|sum": 200_000,
            "ttl": kept,
        },
        "live#2026112407": {"n|exact": 1, "ttl": kept_live},
        "namespaces": {"ttl": NOW + 90 * 86_400},
    }


async def test_environments_add_up_in_the_table(environment):
    one, two, reader = environment(), environment(), environment()
    for ledger, times in ((one, 2), (two, 3), (one, 4)):
        for _ in range(times):
            ledger.record(trace())
        await ledger.flush(force=True)
    assert (await reader.summary(PARTITION))["requests"] == 9


async def test_it_merges_at_once_then_only_when_the_interval_has_passed_or_by_force(environment, clock):
    ledger = environment()
    merged = []
    for later, force in ((0, False), (4.9, False), (0.1, False), (1, False), (0, True)):
        clock.now += later
        ledger.record(trace())
        await ledger.flush(force=force)
        merged.append(items()["2026112306"]["n|requests"])
    assert merged == [1, 1, 3, 3, 5]


async def test_figures_that_could_not_be_written_wait_with_growing_pauses_and_are_written_later(environment, clock):
    ledger = environment()
    delete_table()
    ledger.record(trace())
    await ledger.flush()
    failures = [ledger.failures]
    for later in (9.9, 0.1, 10.0, 10.0):
        clock.now += later
        ledger.record(trace())
        await ledger.flush()
        failures.append(ledger.failures)
    assert failures == [1, 1, 2, 2, 3]

    create_table()
    await ledger.flush(force=True)
    assert items()["2026112306"]["n|requests"] == 5
    assert ledger.lost == 0
    clock.now += 5.0
    ledger.record(trace())
    await ledger.flush()
    assert items()["2026112306"]["n|requests"] == 6


async def test_a_late_write_goes_to_the_hour_in_which_it_happened(environment, clock):
    ledger = environment()
    ledger.record(trace())
    clock.now += 3 * HOUR
    await ledger.flush()
    assert "2026112306" in items()


async def test_when_the_table_cannot_be_read_the_summary_says_so_and_shows_what_is_here(environment):
    ledger = environment()
    ledger.record(trace())
    delete_table()
    found = await ledger.summary(PARTITION)
    assert (found["complete"], found["requests"]) == (False, 1)


async def test_many_figures_are_written_in_several_updates(environment):
    ledger = environment()
    ledger.record(trace(counts=Counter({f"count-{number}": number for number in range(1, 1_001)})))
    await ledger.flush()
    written = items()["2026112306"]
    assert sum(written[f"n|counts|count-{number}"] for number in range(1, 1_001)) == 500_500
    assert ledger.failures == ledger.lost == 0


async def test_what_the_table_calls_malformed_is_given_up_and_holds_up_nothing(environment):
    ledger = environment()
    ledger.record(trace(partition="x" * 3_000))  # a partition key has at most 2048 bytes
    ledger.record(trace())
    await ledger.flush()
    await ledger.flush(force=True)
    assert [name for name in items() if name.startswith("recent#")]
    assert items()["2026112306"]["n|requests"] == 1
    assert ledger.lost > 0
    assert ledger.failures == 0


async def test_a_stored_answer_that_replaces_one_of_the_same_hour_writes_no_zero(environment):
    ledger = environment()
    ledger.record(trace(stored_expiry=NOW + HOUR, replaced_expiry=NOW + HOUR))
    await ledger.flush()
    assert "live#2026112307" not in items()


async def test_live_answers_are_counted_across_environments_and_end_with_their_hour(environment, clock):
    one, two = environment(), environment()
    one.record(trace(stored_expiry=NOW + 2 * HOUR))
    await one.flush()
    two.record(trace(stored_expiry=NOW + 4 * HOUR, replaced_expiry=NOW + 2 * HOUR))
    two.record(trace(stored_expiry=NOW + 30 * HOUR))
    sizes = []
    for _ in range(6):
        sizes.append((await two.summary(PARTITION))["exact_cache_size"])
        clock.now += HOUR
    assert sizes == [2, 2, 2, 2, 2, 1]


@pytest.mark.parametrize(("hours", "requests"), [(1, 1), (24, 2), (30, 3)])
async def test_the_summary_reads_the_last_hours(environment, clock, hours, requests):
    ledger = environment()
    for ahead in (0, 2, 25):
        clock.now = NOW + ahead * HOUR
        ledger.record(trace())
        await ledger.flush(force=True)
    assert (await environment().summary(PARTITION, hours=hours))["requests"] == requests


async def test_a_summary_larger_than_a_page_is_read_whole(environment):
    place = {"TableName": TABLE, "KeyConditionExpression": "pk = :pk"}
    client = boto3.client("dynamodb")
    for hour in range(4):
        rollup = {"pk": {"S": f"stats#{PARTITION}"}, "sk": {"S": f"202611230{hour}"}, "n|requests": {"N": "1"}}
        client.put_item(TableName=TABLE, Item={**rollup, "pad": {"S": "x" * 390_000}})
    assert "LastEvaluatedKey" in client.query(**place, ExpressionAttributeValues={":pk": {"S": f"stats#{PARTITION}"}})
    assert (await environment().summary(PARTITION))["requests"] == 4


async def test_a_flush_whose_caller_stops_waiting_loses_nothing(environment, aws):
    ledger = environment()
    ledger.record(trace())
    gate = threading.Event()
    busy = asyncio.ensure_future(aws.run(gate.wait))  # the pool's one thread
    flush = asyncio.create_task(ledger.flush())
    await asyncio.sleep(0)
    flush.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flush
    gate.set()
    await busy
    assert (await ledger.summary(PARTITION))["requests"] == 1
    await ledger.flush(force=True)
    assert (await environment().summary(PARTITION))["requests"] == 1


async def test_a_merge_that_does_not_end_holds_up_neither_reader_nor_next_merge(aws_tables, clock, monkeypatch):
    """A slow table takes minutes for a merge of many figures; whoever reads is told that some are missing."""
    monkeypatch.setattr("subsecond.stores.dynamodb.ledger.LONGEST_WAIT", 0.01)
    aws = Aws(Settings(store_threads=2))
    ledger = DynamoLedger(aws, TABLE, 5.0, clock)
    begun, may_end = threading.Event(), threading.Event()
    written = ledger._write

    def write(*given):
        begun.set()
        assert may_end.wait(60)
        written(*given)

    monkeypatch.setattr(ledger, "_write", write)
    ledger.record(trace())
    merging = asyncio.create_task(ledger.flush(force=True))
    try:
        await asyncio.to_thread(begun.wait, 60)
        ledger.record(trace())
        clock.now += 5
        async with asyncio.timeout(60):
            await ledger.flush()
            assert (await ledger.summary(PARTITION))["complete"] is False
        may_end.set()
        await merging
        told = await ledger.summary(PARTITION)
        assert (told["requests"], told["complete"]) == (2, True)
    finally:
        may_end.set()
        await merging
        aws.close()
