"""What every place for the models' figures promises. A new file in `routing/healths` is tested the day it appears."""

from importlib import import_module

import boto3
import pytest

from subsecond.aws.client import aws_of
from subsecond.config import Settings
from tests.support.adapters import engines, store

ADAPTERS = engines("healths")


@pytest.fixture(params=ADAPTERS)
def healths(request, aws_tables):
    settings = Settings(store_threads=1)
    yield store("healths", request.param, settings)
    aws_of(settings).close()


def test_the_adapters_were_found():
    assert {"memory", "dynamodb"} <= set(ADAPTERS)


async def test_what_all_have_added_comes_back_at_once(healths):
    assert await healths.merge_and_read(7, {"m|t|80": 2}, 5) == {7: {"m|t|80": 2}}
    assert await healths.merge_and_read(7, {"m|t|80": 1, "n|f|0": 1}, 5) == {7: {"m|t|80": 3, "n|f|0": 1}}


async def test_slices_are_kept_apart_and_read_from_the_oldest_that_is_asked_for(healths):
    for slice_ in (9, 10, 11):
        await healths.merge_and_read(slice_, {"m|t|80": slice_}, slice_)
    found = await healths.merge_and_read(11, {"m|t|81": 1}, 10)
    assert found == {10: {"m|t|80": 10}, 11: {"m|t|80": 11, "m|t|81": 1}}


async def test_slices_are_ordered_as_numbers_whatever_their_length(healths):
    for slice_ in (99_999, 100_000, 100_001):
        await healths.merge_and_read(slice_, {"m|t|1": 1}, slice_)
    assert set(await healths.merge_and_read(100_001, {"m|t|1": 1}, 99_999)) == {99_999, 100_000, 100_001}


async def test_names_may_hold_what_models_names_hold(healths):
    figures = {"org/model.v1:free#2|t|-5": 1, "with space|v|90": 2}
    assert await healths.merge_and_read(3, figures, 3) == {3: figures}


async def test_many_figures_are_all_added(healths):
    figures = {f"m|t|{bucket}": bucket + 1 for bucket in range(229)}
    assert await healths.merge_and_read(3, figures, 3) == {3: figures}


async def test_what_is_given_back_is_the_callers_own(healths):
    found = await healths.merge_and_read(3, {"m|t|1": 1}, 3)
    found[3]["m|t|1"] = 99
    assert await healths.merge_and_read(3, {"m|t|2": 1}, 3) == {3: {"m|t|1": 1, "m|t|2": 1}}


async def test_a_merge_is_one_write_and_one_read(aws_tables):
    settings = Settings(store_threads=1)
    healths = import_module("subsecond.stores.dynamodb.health").build(settings)
    await healths.merge_and_read(3, {"m|t|1": 1}, 3)
    calls = []
    events = aws_of(settings).dynamodb.meta.events
    events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
    await healths.merge_and_read(3, {f"model-{n}|t|{n}": 1 for n in range(60)}, 0)
    assert sorted(calls) == ["Query", "UpdateItem"]
    aws_of(settings).close()


async def test_the_table_forgets_a_slice_after_ten_minutes(aws_tables):
    settings = Settings(store_threads=1)
    healths = import_module("subsecond.stores.dynamodb.health").build(settings)
    healths._clock = lambda: 1_700_000_000.5
    await healths.merge_and_read(170_000_000, {"m|t|1": 1}, 0)
    [item] = boto3.client("dynamodb").scan(TableName="subsecond-state")["Items"]
    assert (item["pk"]["S"], item["sk"]["S"]) == ("health", "000170000000")
    assert int(item["ttl"]["N"]) == 1_700_000_601
    aws_of(settings).close()


async def test_this_process_keeps_ten_minutes(aws_tables):
    healths = import_module("subsecond.stores.memory.health").MemoryHealthStore()
    for slice_ in range(1_000):
        await healths.merge_and_read(slice_, {"m|t|1": 1}, slice_)
    assert len(healths) == 60
